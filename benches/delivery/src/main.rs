//! The delivery beside handlers that are written by hand. `scripts/bench-delivery` runs it.
//!
//! ```text
//! snapfold-delivery run WRK [TURNS [SECONDS]]   the server on one core, wrk on another, in turns
//! snapfold-delivery calls [TURNS]               calls without a server
//! snapfold-delivery live [CLIENTS]               server-sent events to many clients
//! snapfold-delivery warm open|guarded|nested|prepared CALLS    one kind of call, for a profiler
//! ```

mod by_hand;
mod calls;
mod cart;
mod counted;
mod live;
mod pace;
mod run;
mod serve;
mod turns;

#[global_allocator]
static ALLOCATOR: counted::Counted = counted::Counted;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve"] => serve::serve(),
        ["pace", port, authorization, rate, seconds] => {
            let (rate, seconds) = (rate.parse().unwrap(), seconds.parse().unwrap());
            pace::pace(port.parse().unwrap(), authorization, rate, seconds);
        }
        ["run", wrk] => run::run(wrk, 9, 1),
        ["run", wrk, turns] => run::run(wrk, turns.parse().unwrap(), 1),
        ["run", wrk, turns, seconds] => {
            run::run(wrk, turns.parse().unwrap(), seconds.parse().unwrap());
        }
        ["warm", which, count] => calls::profiled(which, count.parse().unwrap()),
        ["live"] => {
            live::live(10_000);
            live::floor(10_000);
        }
        ["live-serve-bare"] => live::serve_bare(),
        ["live", clients] => live::live(clients.parse().unwrap()),
        ["live-serve"] => live::serve(),
        ["calls"] => calls::calls(9),
        ["calls", turns] => calls::calls(turns.parse().unwrap()),
        _ => {
            eprintln!("usage: scripts/bench-delivery [TURNS [SECONDS]]");
            std::process::exit(2);
        }
    }
}
