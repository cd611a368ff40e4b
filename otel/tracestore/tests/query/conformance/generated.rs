//! A generated corpus, then every way to read it and generated searches. Seeded; a failing trace or question shrinks.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use super::compare::{Difference, compare};
use super::corpus::{self, SERVICES, Searchable, TraceSpec};
use super::peer::{Both, recently};
use super::question::{Pool, Question, question};

/// Most kinds of difference that are shrunk and told.
const TOLD: usize = 12;
/// Most traces of a search that are compared whole.
const FEW: usize = 3;
const SHRINK_STEPS: usize = 150;

/// The target that reads one trace id.
type Ask = fn(&str) -> String;

/// The target that asks a question.
type Search = fn(&Question) -> String;

/// Values of one kind, drawn one by one: any of them can be drawn again, to be made smaller more than once.
struct Draws<T> {
    seed: u32,
    kind: u32,
    strategy: BoxedStrategy<T>,
}

/// What was found, one entry per place.
#[derive(Default)]
struct Findings(BTreeMap<(&'static str, String), Found>);

/// How often, the first case, its number.
type Found = (usize, String, usize);

struct Corpus {
    draws: Draws<TraceSpec>,
    /// Id and begin of each, in Unix nanoseconds.
    traces: Vec<(u128, u64, TraceSpec)>,
    /// The next unused trace id, for shrinking.
    next: u128,
}

// === impl Findings ===

impl Findings {
    /// Remembers `found`, which the case `index` and `target` gave.
    fn add(&mut self, kind: &'static str, index: usize, target: &str, found: Vec<Difference>) {
        for difference in found {
            let text = format!("{target}\n      {}", difference.text);
            let entry = self.0.entry((kind, difference.place)).or_insert((0, text, index));
            entry.0 += 1;
        }
    }
}

// === impl Draws ===

impl<T: std::fmt::Debug> Draws<T> {
    fn tree(&self, index: usize) -> impl ValueTree<Value = T> + use<T> {
        let stream = [self.seed, self.kind, u32::try_from(index).unwrap(), 0].map(u32::to_be_bytes);
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &stream.concat().repeat(2));
        self.strategy.new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap()
    }

    fn draw(&self, index: usize) -> T {
        self.tree(index).current()
    }

    /// The smallest value found that still differs, beginning at the one with the number `index`.
    async fn smallest(&self, index: usize, mut differs: impl AsyncFnMut(&T) -> bool) -> T {
        let mut tree = self.tree(index);
        let mut smallest = tree.current();
        let mut smaller = tree.simplify();
        for _ in 0..SHRINK_STEPS {
            if !smaller {
                break;
            }
            let case = tree.current();
            smaller = if differs(&case).await {
                smallest = case;
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        smallest
    }
}

// === impl Corpus ===

impl Corpus {
    fn generate(count: u32, seed: u32) -> Self {
        let begin = recently() - 3_600_000_000_000;
        let draws = Draws { seed, kind: 1, strategy: corpus::trace().boxed() };
        let traces = (0..count).map(|at| {
            // Short and long ids, with leading zeros and without.
            let n = u128::from(at) + 0x1000;
            let id = [n, n << 40, n << 64 | n, n << 112 | n][at as usize % 4];
            (id, begin + u64::from(at) * 1_000_000_123, draws.draw(at as usize))
        });
        Self { traces: traces.collect(), draws, next: 0x0001_0000_0000 }
    }

    async fn send(&self, both: &Both) {
        let mut late = Vec::new();
        for (id, begin, spec) in &self.traces {
            let [first, second] = spec.requests(*id, *begin);
            both.send(first).await;
            late.push(second);
        }
        for request in late.into_iter().filter(|request| !request.is_empty()) {
            both.send(request).await;
        }
    }

    fn pool(&self) -> Pool {
        // What these two mean is among the listed differences; a key with a colon cannot be written as `key:value`.
        let plain = |key: &str| !matches!(key, "error" | "span.kind") && !key.contains(':');
        let mut spans: Vec<Searchable> =
            self.traces.iter().flat_map(|(_, _, spec)| spec.searchable()).collect();
        spans.iter_mut().for_each(|span| span.tags.retain(|(key, _)| plain(key)));
        Pool { spans, from: self.traces.first().unwrap().1, to: self.traces.last().unwrap().1 }
    }

    /// The smallest trace that still differs at `place`, sent anew for each try.
    async fn shrink(&mut self, both: &Both, index: usize, ask: Ask, place: &str) -> TraceSpec {
        let begin = self.traces[index].1;
        let next = Cell::new(self.next);
        let differs = async |spec: &TraceSpec| {
            let id = next.get() + 1;
            next.set(id);
            for request in spec.requests(id, begin).into_iter().filter(|request| !request.is_empty()) {
                both.send(request).await;
            }
            let found = both.differences(&ask(&format!("{id:x}"))).await;
            found.iter().any(|difference| difference.place == place)
        };
        let smallest = self.draws.smallest(index, differs).await;
        self.next = next.get();
        smallest
    }
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Ways to read one trace; the last changes what Jaeger's memory storage holds, so it comes last and once.
const READS: [(&str, Ask); 5] = [
    ("trace", |id| format!("/api/traces/{id}")),
    ("raw trace", |id| format!("/api/traces/{}?raw=true", id.to_uppercase())),
    ("traces by id", |id| format!("/api/traces?traceID={id:0>32}&traceID=77777&raw=1")),
    ("raw trace of v3", |id| format!("/api/v3/traces/{id:0>32}?raw_traces=1")),
    ("trace of v3", |id| format!("/api/v3/traces/{id}")),
];

#[tokio::test(flavor = "multi_thread")]
async fn generated_traces_and_questions_get_the_same_answers() {
    let Some(both) = Both::from_env().await else { return };
    let seed = number("CONFORMANCE_SEED", 1);
    let mut corpus = Corpus::generate(number("CONFORMANCE_TRACES", 200), seed);
    corpus.send(&both).await;
    let mut findings = Findings::default();
    for target in listings() {
        findings.add("listing", 0, &target, both.differences(&target).await);
    }
    let questions = Draws { seed, kind: 2, strategy: question(&corpus.pool()).boxed() };
    let count = number("CONFORMANCE_QUESTIONS", 300);
    let (answered, mut told) = searches(&both, &questions, count, "search", Question::legacy).await;
    for (at, (kind, ask)) in READS.iter().enumerate() {
        if at == 3 {
            told.extend(searches(&both, &questions, count, "search of v3", Question::v3).await.1);
        }
        for (index, (id, _, _)) in corpus.traces.iter().enumerate() {
            let target = ask(&format!("{id:x}"));
            findings.add(kind, index, &target, both.differences(&target).await);
        }
    }
    // Last: what is sent for it would be found by searches.
    for ((kind, place), (count, text, index)) in findings.0.into_iter().take(TOLD) {
        let small = match READS.iter().find(|(read, _)| *read == kind) {
            Some((_, ask)) => format!("{:#?}", corpus.shrink(&both, index, *ask, &place).await),
            // A listing has nothing that could be made smaller.
            None => String::new(),
        };
        told.push(format!("{count} times: {kind}: {place}\n    {text}\n    {small}"));
    }
    assert!(told.is_empty(), "{} kinds of difference (seed {seed}):\n{}", told.len(), told.join("\n"));
    assert!(answered * 3 > count, "only {answered} of {count} questions found anything");
}

/// Services and operations.
fn listings() -> Vec<String> {
    let mut all = vec!["/api/services".to_owned(), "/api/v3/services".to_owned()];
    for service in SERVICES {
        let service = percent_encoding::utf8_percent_encode(service, percent_encoding::NON_ALPHANUMERIC);
        all.push(format!("/api/services/{service}/operations"));
        for kind in ["", "server", "client", "internal", "producer", "consumer"] {
            all.push(format!("/api/operations?service={service}&spanKind={kind}"));
            all.push(format!("/api/v3/operations?service={service}&span_kind={kind}"));
        }
    }
    all
}

/// One search. Which traces a limit cuts off is among the listed differences: then the number counts, and that each fits.
async fn search(both: &Both, question: &Question, target: Search) -> (String, Vec<Difference>, bool) {
    let asked = target(question);
    let all = target(&question.unlimited());
    let (theirs, ours) = (both.jaeger(&all).await, both.ours(&all).await);
    let (theirs_fit, fit) = (ids(&theirs.body), ids(&ours.body));
    let mut found = Vec::new();
    if theirs_fit == fit && fit.len() > FEW {
        // Each is compared whole where it is read by id.
    } else if theirs_fit == fit || theirs.status != 200 || ours.status != 200 {
        found = compare(&all, theirs, ours);
    } else {
        let missing: Vec<_> = theirs_fit.difference(&fit).collect();
        let surplus: Vec<_> = fit.difference(&theirs_fit).collect();
        let text = format!("only Jaeger finds {missing:?}, only we {surplus:?}");
        found.push(Difference { place: "found".into(), text });
    }
    if !found.is_empty() || asked == all {
        return (all, found, !fit.is_empty());
    }
    let (theirs, ours) = (both.jaeger(&asked).await, both.ours(&asked).await);
    let (wanted, got) = (ids(&theirs.body).len(), ids(&ours.body));
    if wanted != got.len() || !got.is_subset(&fit) {
        let text = format!("under the limit {wanted} / {}", got.len());
        found.push(Difference { place: "limited".into(), text });
    }
    (asked, found, !fit.is_empty())
}

/// Trace ids of either API's answer.
fn ids(body: &Value) -> BTreeSet<String> {
    let legacy = body["data"].as_array().into_iter().flatten().map(|trace| &trace["traceID"]);
    let owners = body["result"]["resourceSpans"].as_array().into_iter().flatten();
    let scopes = owners.flat_map(|owner| owner["scopeSpans"].as_array().into_iter().flatten());
    let v3 =
        scopes.flat_map(|scope| scope["spans"].as_array().into_iter().flatten()).map(|span| &span["traceId"]);
    legacy.chain(v3).filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// Asks the first `count` questions: how many were answered, and what to tell, with the smallest question for each place at
/// which answers differed.
async fn searches(
    both: &Both,
    questions: &Draws<Question>,
    count: u32,
    kind: &'static str,
    target: Search,
) -> (u32, Vec<String>) {
    let (mut answered, mut findings, mut told) = (0, Findings::default(), Vec::new());
    for index in 0..count as usize {
        let (asked, found, any) = search(both, &questions.draw(index), target).await;
        answered += u32::from(any);
        findings.add(kind, index, &asked, found);
    }
    for ((kind, place), (count, text, index)) in findings.0.into_iter().take(TOLD) {
        let differs = async |question: &Question| {
            let (_, found, _) = search(both, question, target).await;
            found.iter().any(|difference| difference.place == place)
        };
        let small = questions.smallest(index, differs).await;
        let asked = target(&small);
        told.push(format!(
            "{count} times: {kind}: {place}\n    {text}\n    smallest: {asked}\n    {small:#?}"
        ));
    }
    (answered, told)
}
