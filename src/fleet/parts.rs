//! The parts of Waybill as data: names, ports, the order in which they stop.

/// One process of the fleet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name on the command line, in `endpoints.json` and, for services, its `service.name`.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) kind: Kind,
    /// Its ports; the first is the one that `endpoints.json` gives as `url`.
    pub(crate) ports: &'static [Port],
    /// Parts with a lower number have stopped before those with a higher one are asked to.
    pub(crate) stage: u8,
}

/// What a part is, and so how it is started and configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of the eight services.
    Service,
    /// The outside world.
    Partners,
    /// OTLP in, OTLP out.
    Collector,
    /// Spans, logs and the Jaeger UI.
    TraceStore,
}

/// A port that a part listens on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// What it serves.
    pub(crate) role: &'static str,
    /// Where, unless `--ports auto`.
    pub(crate) default: u16,
}

/// Every part. Front door first: that is the order in which they are listed and stopped.
pub(crate) const PARTS: &[Part] = &[
    service("mobile-app", &[Port { role: "http", default: 8080 }], 0),
    service("auth", &[Port { role: "http", default: 8081 }], 1),
    service("restaurant-availability", &[Port { role: "http", default: 8082 }], 1),
    service("payment-gateway", &[Port { role: "http", default: 8083 }], 1),
    service("restaurant-orders", &[Port { role: "http", default: 8084 }], 1),
    service("delivery-assignment", &[Port { role: "http", default: 8085 }], 1),
    service("tracking", &[Port { role: "http", default: 8086 }], 1),
    service("notification", &[Port { role: "http", default: 8087 }], 1),
    Part { name: "partners", kind: Kind::Partners, ports: &[Port { role: "http", default: 8090 }], stage: 2 },
    Part {
        name: "collector",
        kind: Kind::Collector,
        ports: &[
            Port { role: "otlp-http", default: 4318 },
            Port { role: "otlp-grpc", default: 4317 },
            Port { role: "health", default: 13133 },
            Port { role: "metrics", default: 8888 },
            Port { role: "prometheus", default: 8889 },
        ],
        stage: 3,
    },
    Part {
        name: "tracestore",
        kind: Kind::TraceStore,
        ports: &[Port { role: "http", default: 16686 }, Port { role: "otlp", default: 14317 }],
        stage: 4,
    },
];

/// The part called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|p| p.name == name)
}

const fn service(name: &'static str, ports: &'static [Port], stage: u8) -> Part {
    Part { name, kind: Kind::Service, ports, stage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_parts_share_a_name_or_a_port() {
        let mut ports: Vec<_> = PARTS.iter().flat_map(|p| p.ports).map(|p| p.default).collect();
        ports.sort_unstable();
        let count = ports.len();
        ports.dedup();
        assert_eq!(ports.len(), count);
        assert_eq!(find("auth").map(|p| p.kind), Some(Kind::Service));
        assert_eq!(find("nobody"), None);
    }
}
