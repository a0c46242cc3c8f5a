//! [`Group`]: group commit in front of an engine with one writer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use crate::engines::{Engine, Pair};

/// One caller writes for all who wait, in one transaction.
pub struct Group<E> {
    engine: E,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Vec<Pair>, Arc<Waiter>)>,
    led: bool,
}

#[derive(Default)]
struct Waiter {
    signal: Mutex<Signal>,
    woken: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Signal {
    #[default]
    Wait,
    Lead,
    Done,
}

impl Waiter {
    fn send(&self, signal: Signal) {
        *self.signal.lock().unwrap() = signal;
        self.woken.notify_one();
    }

    fn wait(&self) -> Signal {
        let signal = self.signal.lock().unwrap();
        *self.woken.wait_while(signal, |signal| *signal == Signal::Wait).unwrap()
    }
}

impl<E: Engine> Group<E> {
    pub fn new(engine: E) -> Self {
        Self { engine, state: Mutex::default() }
    }

    pub fn write(&self, pairs: Vec<Pair>) {
        let waiter = Arc::new(Waiter::default());
        let mut state = self.state.lock().unwrap();
        state.waiting.push_back((pairs, Arc::clone(&waiter)));
        let leads = !std::mem::replace(&mut state.led, true);
        drop(state);
        if !leads && waiter.wait() == Signal::Done {
            return;
        }
        let group: Vec<_> = self.state.lock().unwrap().waiting.drain(..).collect();
        self.engine.commit(group.iter().flat_map(|(pairs, _)| pairs));
        for (_, other) in &group {
            if !Arc::ptr_eq(other, &waiter) {
                other.send(Signal::Done);
            }
        }
        let mut state = self.state.lock().unwrap();
        match state.waiting.front() {
            Some((_, next)) => next.send(Signal::Lead),
            None => state.led = false,
        }
    }
}
