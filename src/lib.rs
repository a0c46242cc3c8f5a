//! snapfold
