//! Looking at what happens inside a model, to find where two programs part.

use crate::Tensor;
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static SEEN: RefCell<Option<BTreeMap<String, Tensor>>> = const { RefCell::new(None) };
}

/// Runs `f` and returns what models showed of themselves meanwhile, by name: `vision_layer_0`, `text_layer_0`,
/// `inputs_embeds` and so on. What is shown twice under one name is kept as the last. Calls do not nest: an inner one
/// takes what it sees from the outer one.
pub fn probe<R>(f: impl FnOnce() -> R) -> (R, BTreeMap<String, Tensor>) {
    struct Restore(Option<BTreeMap<String, Tensor>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            SEEN.with(|seen| *seen.borrow_mut() = before);
        }
    }
    // Put back also when `f` panics.
    let restore = Restore(SEEN.with(|seen| seen.borrow_mut().replace(BTreeMap::new())));
    let result = f();
    let found = SEEN.with(|seen| seen.borrow_mut().take()).unwrap_or_default();
    drop(restore);
    (result, found)
}

/// Shows a tensor to the [`probe`] of this thread, if there is one.
pub fn show(name: impl FnOnce() -> String, tensor: &Tensor) {
    SEEN.with(|seen| {
        if let Some(seen) = seen.borrow_mut().as_mut() {
            seen.insert(name(), tensor.detach());
        }
    });
}
