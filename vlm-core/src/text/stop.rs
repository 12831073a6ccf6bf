//! Ending an answer at a given text.

/// What to give out and whether to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopMatch {
    /// Text that belongs to the answer.
    pub text: String,
    /// The stop string that was met, which is not part of the answer.
    pub stopped_by: Option<String>,
}

/// Watches a stream of text for stop strings, which may be spread over several pieces.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

impl StopStrings {
    /// Watches for any of `stops`; empty ones are ignored.
    pub fn new(stops: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let stops = stops.into_iter().map(Into::into).filter(|s: &String| !s.is_empty()).collect();
        StopStrings { stops, held: String::new() }
    }

    /// Adds a piece. Text that may still become a stop string is held back.
    pub fn push(&mut self, piece: &str) -> StopMatch {
        self.held.push_str(piece);
        let first = self
            .stops
            .iter()
            .filter_map(|s| Some((self.held.find(s.as_str())?, s)))
            .min_by_key(|(at, s)| (*at, s.len()));
        if let Some((at, stop)) = first {
            let stopped_by = Some(stop.clone());
            self.held.truncate(at);
            return StopMatch { text: std::mem::take(&mut self.held), stopped_by };
        }
        let waits = self.stops.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - waits);
        StopMatch { text: std::mem::replace(&mut self.held, rest), stopped_by: None }
    }

    /// What was held back, when no more text comes.
    pub fn finish(self) -> String {
        self.held
    }
}

/// Length of the longest end of `text` that begins `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let lengths = stop.char_indices().map(|(i, _)| i).filter(|&i| i > 0 && i <= text.len());
    lengths.filter(|&i| text.ends_with(&stop[..i])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_string_in_pieces_is_found_and_cut() {
        let mut s = StopStrings::new(["USER:", "\n\n", ""]);
        assert_eq!(s.push("an answer US"), StopMatch { text: "an answer ".into(), stopped_by: None });
        assert_eq!(s.push("A is not one\n").text, "USA is not one");
        let end = s.push("\nUSER: more");
        assert_eq!(end, StopMatch { text: String::new(), stopped_by: Some("\n\n".into()) });
    }

    #[test]
    fn the_earliest_wins_and_the_rest_comes_at_the_end() {
        let mut s = StopStrings::new(["b", "abc"]);
        assert_eq!(s.push("xxabc").stopped_by.as_deref(), Some("abc"));
        let mut s = StopStrings::new(["é!"]);
        assert_eq!(s.push("caf\u{e9}").text, "caf");
        assert_eq!(s.finish(), "é");
    }
}
