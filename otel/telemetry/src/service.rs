//! Who is being observed: the facts about a service that its own code knows best.
//!
//! Everything here is a default. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over it, as the
//! specification of the resource SDK wants.

/// A service as its code describes it, before the environment has had its say.
///
/// ```
/// use telemetry::Service;
/// const SERVICE: Service = Service::new("auth", env!("CARGO_PKG_VERSION"))
///     .namespace("shop")
///     .criticality("critical")
///     .baggage(&[("order.id", "order.id"), ("synthetic", "user_agent.synthetic.type")]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) namespace: Option<&'static str>,
    pub(crate) criticality: Option<&'static str>,
    pub(crate) environment: Option<&'static str>,
    pub(crate) baggage: &'static [(&'static str, &'static str)],
}

// === impl Service ===

impl Service {
    /// `service.name` and `service.version`.
    #[must_use]
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, namespace: None, criticality: None, environment: None, baggage: &[] }
    }

    /// `service.namespace`: the system that the service is part of.
    #[must_use]
    pub const fn namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// `service.criticality`: `critical`, `high`, `medium` or `low` (semantic conventions, alpha).
    #[must_use]
    pub const fn criticality(mut self, criticality: &'static str) -> Self {
        self.criticality = Some(criticality);
        self
    }

    /// `deployment.environment.name` where `OTEL_RESOURCE_ATTRIBUTES` does not say otherwise.
    #[must_use]
    pub const fn environment(mut self, environment: &'static str) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Which baggage entries every span bears from its start, so that samplers see them: pairs of baggage key and
    /// attribute key. Other baggage travels on but is not written to spans.
    #[must_use]
    pub const fn baggage(mut self, pairs: &'static [(&'static str, &'static str)]) -> Self {
        self.baggage = pairs;
        self
    }
}
