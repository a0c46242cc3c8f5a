//! The figures, as tables and as JSON.

use serde::Serialize;

use crate::measure::Row;

#[derive(Default, Serialize)]
pub struct Report {
    /// The version of PostgreSQL.
    pub server: String,
    /// Of an empty message, in microseconds: on the same machine, and over the slow link.
    pub round_trips: [f64; 2],
    pub rows: Vec<Row>,
    pub sizes: Vec<Size>,
    pub traffic: Vec<Traffic>,
    /// Events in a state of cqrs-es after 25 commands through its framework with snapshots, and
    /// how many there are.
    pub framework_counts: (u64, u64),
}

/// The bytes of a snapshot.
#[derive(Serialize)]
pub struct Size {
    pub library: &'static str,
    pub case: &'static str,
    pub payload: i64,
    pub row: i64,
}

/// What a load sends to the server.
#[derive(Serialize)]
pub struct Traffic {
    pub library: &'static str,
    pub statements: f64,
    pub round_trips: f64,
}

fn time(us: f64) -> String {
    match us {
        ..10.0 => format!("{us:.2} us"),
        ..1_000.0 => format!("{us:.0} us"),
        ..10_000.0 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.1} ms", us / 1e3),
    }
}

impl Report {
    pub fn print(&self) {
        let [near, far] = self.round_trips.map(time);
        println!("PostgreSQL {}; a round trip: {near}, over the slow link {far}", self.server);
        let mut title = String::new();
        for row in &self.rows {
            let next = format!("{}: {}", row.table, row.case);
            if next != title {
                title = next;
                println!("\n{title}\n");
                println!("| library | median | quartiles | p95 | p99 | times snapfold |");
                println!("|---|--:|---|--:|--:|---|");
            }
            let ratio = if row.is_wrong {
                "**wrong state**".to_owned()
            } else {
                format!("{:.2} ({:.2} to {:.2})", row.ratio, row.ratio_low, row.ratio_high)
            };
            println!(
                "| {} | {} | {} to {} | {} | {} | {ratio} |",
                row.library,
                time(row.median),
                time(row.low),
                time(row.high),
                time(row.p95),
                time(row.p99),
            );
        }
        self.print_due();
        println!(
            "\nbytes of a snapshot: payload, whole row\n\n| library | small | medium | large |"
        );
        println!("|---|--:|--:|--:|");
        for sizes in self.sizes.chunks(3) {
            let cells: Vec<_> =
                sizes.iter().map(|it| format!("{}, {}", it.payload, it.row)).collect();
            println!("| {} | {} |", sizes[0].library, cells.join(" | "));
        }
        println!("\na load sends\n\n| library | statements | round trips |\n|---|--:|--:|");
        for it in &self.traffic {
            println!("| {} | {:.2} | {:.2} |", it.library, it.statements, it.round_trips);
        }
        let (counted, are) = self.framework_counts;
        println!(
            "\ncqrs-es 0.5.0 after {are} commands through CqrsFramework, a snapshot every 10: the \
             state has applied {counted} events"
        );
    }

    /// What a snapshot that is due adds to a command.
    fn print_due(&self) {
        println!(
            "\na command with a snapshot due, to one without\n\n| library | case | ratio |\n|---|---|--:|"
        );
        for row in self.rows.iter().filter(|it| it.table == "command") {
            let Some(case) = row.case.strip_suffix(", due") else { continue };
            let without = self.rows.iter().find(|it| {
                it.table == "command"
                    && it.library == row.library
                    && it.case == format!("{case}, not due")
            });
            if let Some(without) = without {
                println!("| {} | {case} | {:.2} |", row.library, row.median / without.median);
            }
        }
    }
}
