//! Names of modules as PEFT sees them.
//!
//! Adapter files name modules by the path that they have in the running transformers model, which for some families is
//! not the path in the weight files (`model.language_model.layers.0` against `language_model.model.layers.0`). A model
//! says how the two correspond.

/// Replacements of leading path segments: pairs of ours and PEFT's. The longest match wins; a path that matches none is
/// the same on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleNames {
    pairs: Vec<(String, String)>,
}

impl ModuleNames {
    /// The correspondence made of these pairs.
    pub fn new<A: Into<String>, B: Into<String>>(pairs: impl IntoIterator<Item = (A, B)>) -> Self {
        ModuleNames { pairs: pairs.into_iter().map(|(ours, theirs)| (ours.into(), theirs.into())).collect() }
    }

    /// PEFT's name of our path.
    pub fn to_peft(&self, path: &str) -> String {
        replace(path, self.pairs.iter().map(|(ours, theirs)| (&**ours, &**theirs)))
    }

    /// Our path of PEFT's name.
    pub fn from_peft(&self, name: &str) -> String {
        replace(name, self.pairs.iter().map(|(ours, theirs)| (&**theirs, &**ours)))
    }
}

fn replace<'a>(path: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let rest = |from: &str| {
        let rest = path.strip_prefix(from)?;
        (from.is_empty() || rest.is_empty() || rest.starts_with('.')).then(|| rest.trim_start_matches('.').to_owned())
    };
    let best = pairs.filter_map(|(from, to)| Some((from.len(), to, rest(from)?))).max_by_key(|(len, ..)| *len);
    match best {
        None => path.to_owned(),
        Some((_, to, rest)) if rest.is_empty() => to.to_owned(),
        Some((_, "", rest)) => rest,
        Some((_, to, rest)) => format!("{to}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_is_replaced_both_ways() {
        let names = ModuleNames::new([
            ("language_model.model", "model.language_model"),
            ("language_model.lm_head", "lm_head"),
            ("multi_modal_projector", "model.multi_modal_projector"),
        ]);
        for (ours, theirs) in [
            ("language_model.model.layers.0.q_proj", "model.language_model.layers.0.q_proj"),
            ("language_model.lm_head", "lm_head"),
            ("multi_modal_projector.linear_1", "model.multi_modal_projector.linear_1"),
            ("other.thing", "other.thing"),
        ] {
            assert_eq!(names.to_peft(ours), theirs);
            assert_eq!(names.from_peft(theirs), ours);
        }
        assert_eq!(names.to_peft("language_model.modelling"), "language_model.modelling");
    }
}
