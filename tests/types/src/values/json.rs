//! Values of free-form JSON.

use crate::{Gen, specimen};

fn json(g: &mut Gen) -> serde_json::Value {
    use serde_json::Value;
    match g.below(8) {
        0 => Value::Null,
        1 => g.any::<bool>().into(),
        2 => g.any::<u64>().into(),
        3 => g.any::<i64>().into(),
        4 => g.any::<f64>().into(),
        5 => g.deeper(|g| (0..g.len()).map(|_| json(g)).collect()).unwrap_or_default(),
        6 => Value::Object(g.deeper(|g| g.any()).unwrap_or_default()),
        _ => g.text().into(),
    }
}

specimen! {
    serde_json::Value => |g| json(g);
    serde_json::Map<String, serde_json::Value> => |g| (0..g.len()).map(|_| (g.word(), json(g))).collect();
}
