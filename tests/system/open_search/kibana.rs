//! The saved objects that Kibana is given (`deploy/kibana/waybill.ndjson`), and what they stand for. No Kibana runs here, so
//! the one form of query that they hold is turned into what Kibana sends for it.

use serde_json::{Value, json};

/// A data view.
pub(super) struct DataView {
    /// The indices it looks at.
    pub(super) pattern: String,
    /// By which field time is told.
    pub(super) time: String,
    /// By field, the page that a value leads to.
    pub(super) links: Vec<(String, String)>,
}

/// A saved search or a visualization: a query on a data view.
pub(super) struct Saved {
    pub(super) view: DataView,
    /// In Kibana's query language.
    pub(super) query: String,
    /// Field and direction, where it is a search.
    sort: Vec<(String, String)>,
    /// Fields that are shown.
    pub(super) columns: Vec<String>,
    /// Fields that are counted by, the outermost first, where it is a visualization.
    pub(super) buckets: Vec<String>,
}

fn object(id: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kibana/waybill.ndjson");
    let text = std::fs::read_to_string(path).unwrap();
    let mut objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.find(|o| o["id"] == id).unwrap_or_else(|| panic!("no saved object {id}"))
}

/// Kibana keeps some parts as JSON within a string.
fn within(value: &Value) -> Value {
    serde_json::from_str(value.as_str().unwrap_or_else(|| panic!("no text: {value}"))).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

// === impl DataView ===

impl DataView {
    pub(super) fn read(id: &str) -> Self {
        let it = object(id);
        assert_eq!(it["type"], "index-pattern");
        let formats = within(&it["attributes"]["fieldFormatMap"]);
        let links = formats.as_object().unwrap().iter().map(|(field, format)| {
            assert_eq!(format["id"], "url");
            (field.clone(), text(&format["params"]["urlTemplate"]))
        });
        Self {
            pattern: text(&it["attributes"]["title"]),
            time: text(&it["attributes"]["timeFieldName"]),
            links: links.collect(),
        }
    }

    /// All fields that it names.
    pub(super) fn fields(&self) -> Vec<String> {
        std::iter::once(self.time.clone()).chain(self.links.iter().map(|(field, _)| field.clone())).collect()
    }
}

// === impl Saved ===

impl Saved {
    pub(super) fn read(id: &str) -> Self {
        let it = object(id);
        let attributes = &it["attributes"];
        let source = within(&attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]);
        assert_eq!((&source["query"]["language"], &source["filter"]), (&json!("kuery"), &json!([])));
        let references = it["references"].as_array().unwrap();
        let view = references.iter().find(|r| r["name"] == source["indexRefName"]).unwrap();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let buckets = match &attributes["visState"] {
            Value::Null => Vec::new(),
            state => list(&within(state)["aggs"]),
        };
        Self {
            view: DataView::read(view["id"].as_str().unwrap()),
            query: text(&source["query"]["query"]),
            sort: list(&attributes["sort"]).iter().map(|s| (text(&s[0]), text(&s[1]))).collect(),
            columns: list(&attributes["columns"]).iter().map(text).collect(),
            buckets: buckets
                .iter()
                .filter(|a| a["type"] == "terms")
                .map(|a| text(&a["params"]["field"]))
                .collect(),
        }
    }

    /// The body of the search that Kibana sends for `query` (the saved one, or it with another value) and the last seven
    /// days, as Jaeger's link asks.
    pub(super) fn search(&self, query: &str) -> Value {
        let sort: Vec<_> =
            self.sort.iter().map(|(field, order)| json!({ field: { "order": order } })).collect();
        let time = json!({ "range": { &self.view.time: { "gte": "now-7d", "lte": "now" } } });
        json!({
            "size": 500,
            "track_total_hits": true,
            "query": { "bool": { "filter": [matching(query), time] } },
            "sort": sort,
        })
    }
}

/// What Kibana sends for `field:value`, a value without quotes, blanks or wildcards: a `match` (`packages/kbn-es-query`,
/// `src/kuery/functions/is.ts`). Anything else fails: it would have to be added here.
fn matching(query: &str) -> Value {
    let plain = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let known = query.split_once(':').filter(|(field, value)| plain(field, "_.@") && plain(value, ""));
    let Some((field, value)) = known else {
        panic!("a query in a form that this test does not translate: {query}");
    };
    json!({ "bool": { "should": [{ "match": { field: value } }], "minimum_should_match": 1 } })
}

#[test]
#[should_panic(expected = "does not translate")]
fn a_query_of_another_form_is_not_guessed_at() {
    matching("severity_text:ERROR and trace_id:00");
}
