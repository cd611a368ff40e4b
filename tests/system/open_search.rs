//! Jaeger on OpenSearch, which stands in for Elasticsearch: the same verdicts as on the embedded store, the logs of one
//! order through the query that Kibana's saved search holds, and what becomes of orders and of spans while OpenSearch or
//! Jaeger refuses, is red, or is gone.
//!
//! Runs where `OPENSEARCH_URL` names an OpenSearch without a password and `JAEGER_PROGRAM` a Jaeger 2 to be started, as
//! `make conformance` does. The indices `waybill*` of that OpenSearch are made anew.

mod documents;
mod kibana;
mod logs;
mod outage;
mod refusal;
mod server;
mod stage;
mod verdicts;
