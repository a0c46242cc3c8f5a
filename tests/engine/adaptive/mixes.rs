//! Twelve workloads: sizes, handler costs, read/write ratios, and some that change half way.

use super::machine::{Price, Prices};

/// A kind of aggregates that are used alike.
#[derive(Clone, Copy)]
pub struct Group {
    pub aggregates: usize,
    /// The size of a new state, and its growth with each event.
    pub bytes: u64,
    pub growth: u64,
    /// Events per commit.
    pub batch: u64,
    /// Loads per commit besides the one of the command, in thousandths.
    pub reads: u64,
}

/// A period in which nothing changes.
#[derive(Clone)]
pub struct Phase {
    pub prices: Prices,
    pub groups: Vec<Group>,
    pub commits: usize,
}

pub struct Mix {
    pub name: &'static str,
    pub phases: Vec<Phase>,
}

/// One command: loads, then a load and a commit.
#[derive(Clone, Copy)]
pub struct Step {
    pub phase: usize,
    /// Counted over all groups.
    pub aggregate: usize,
    pub reads: u64,
    pub batch: u64,
    pub growth: u64,
}

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;

/// Each group has as many commits as the others, evenly distributed over its aggregates.
pub fn trace(mix: &Mix, seed: u64) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut steps = Vec::new();
    for (phase, Phase { groups, commits, .. }) in mix.phases.iter().enumerate() {
        for _ in 0..*commits {
            let group = random.usize(..groups.len());
            let before: usize = groups[..group].iter().map(|group| group.aggregates).sum();
            let Group { aggregates, batch, reads, growth, .. } = groups[group];
            // Evenly between nothing and twice the mean.
            let reads = random
                .u64(..=2 * reads)
                .div_ceil(1_000)
                .saturating_sub(u64::from(reads > 0 && random.bool()));
            let aggregate = before + random.usize(..aggregates);
            steps.push(Step { phase, aggregate, reads, batch, growth });
        }
    }
    steps
}

/// The initial size of each aggregate.
pub fn sizes(mix: &Mix) -> Vec<u64> {
    let groups = mix.phases[0].groups.iter();
    groups.flat_map(|group| vec![group.bytes; group.aggregates]).collect()
}

fn steady(name: &'static str, prices: Prices, groups: &[Group], commits: usize) -> Mix {
    Mix { name, phases: vec![Phase { prices, groups: groups.to_vec(), commits }] }
}

fn drifting(name: &'static str, before: Phase, change: impl FnOnce(&mut Phase)) -> Mix {
    let mut after = before.clone();
    change(&mut after);
    Mix { name, phases: vec![before, after] }
}

pub fn mixes() -> Vec<Mix> {
    let group = Group { aggregates: 4, bytes: 130, growth: 0, batch: 1, reads: 0 };
    let memory = Prices {
        event: 60,
        get: Price(300, 0),
        decode: Price(300, 2_600),
        encode: Price(150, 800),
        put: Price(500, 0),
        ..Prices::default()
    };
    let file = Prices { put: Price(100 * MICRO, 500), ..memory };
    let network = Prices { get: Price(200 * MICRO, 500), put: Price(500 * MICRO, 1_000), ..memory };
    let ledger = Prices {
        event: 61,
        decode: Price(600 * MICRO, 0),
        encode: Price(300 * MICRO, 0),
        put: Price(400 * MICRO, 0),
        ..memory
    };
    let phase = |prices: Prices, group: Group, commits: usize| Phase {
        prices,
        groups: vec![group],
        commits,
    };
    vec![
        steady("small states in memory", memory, &[group], 12_000),
        steady("slow handlers, file", Prices { event: 5_000, ..file }, &[group], 12_000),
        steady("4 KB orders, file", file, &[Group { bytes: 3_700, ..group }], 8_000),
        steady(
            "large ledgers at a loss",
            ledger,
            &[Group { aggregates: 2, bytes: 4_000, batch: 10, ..group }],
            2_000,
        ),
        steady(
            "20 reads per commit",
            file,
            &[Group { bytes: 1_000, reads: 20_000, ..group }],
            1_500,
        ),
        steady("bulk import, network", network, &[Group { batch: 20, ..group }], 6_000),
        steady("growing states", file, &[Group { growth: 20, ..group }], 6_000),
        steady(
            "hot and cold aggregates",
            file,
            &[
                Group { aggregates: 2, reads: 15_000, ..group },
                Group { aggregates: 4, batch: 20, ..group },
            ],
            2_000,
        ),
        steady(
            "small and large of one kind",
            Prices { put: Price(20 * MICRO, 500 * MICRO), event: 500, ..memory },
            &[group, Group { bytes: 4_000, ..group }],
            10_000,
        ),
        drifting("handlers become slow", phase(file, group, 8_000), |after| {
            after.prices.event *= 25;
        }),
        drifting("reads set in", phase(file, Group { batch: 5, ..group }, 4_000), |after| {
            after.groups[0].reads = 20_000;
            after.commits = 1_000;
        }),
        drifting(
            "the store becomes slow, noise",
            phase(Prices { noise: 50, event: 400, ..file }, group, 8_000),
            |after| after.prices.put = Price(5 * MILLI, 0),
        ),
    ]
}
