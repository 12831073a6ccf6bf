//! Which modules get an adapter.

use super::{Bias, ModuleNames, PeftConfig};
use crate::weights::save::quoted;
use crate::{Error, ErrorKind, Result};
use std::collections::HashSet;
use tokenizers::utils::SysRegex;

/// Longer regular expressions are refused: they are mistakes or attacks.
const MAX_REGEX: usize = 20_000;

/// What an adapted module gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapted {
    /// Rank.
    pub r: usize,
    /// Alpha.
    pub alpha: f64,
}

/// PEFT's rule for which modules get an adapter, compiled from a [`PeftConfig`].
#[derive(Debug)]
pub struct TargetMatcher {
    target: Names,
    exclude: Option<Names>,
    modules_to_save: Vec<SysRegex>,
    saved_ends: Vec<String>,
    layers: Option<(HashSet<usize>, Vec<SysRegex>)>,
    ranks: Vec<(SysRegex, usize)>,
    alphas: Vec<(SysRegex, f64)>,
    default: Adapted,
    bias: Bias,
}

#[derive(Debug)]
enum Names {
    AllLinear,
    Set(HashSet<String>),
    Regex(SysRegex),
}

impl Names {
    fn new(key: &str, names: &ModuleNames) -> Result<Self> {
        Ok(match names {
            ModuleNames::AllLinear => Names::AllLinear,
            ModuleNames::Names(names) => Names::Set(names.iter().cloned().collect()),
            ModuleNames::Regex(regex) => Names::Regex(compile(key, regex, &format!(r"\A(?:{regex})\z"))?),
        })
    }

    /// Whether `name` is one of these, or ends in one after a dot.
    fn contain(&self, name: &str) -> bool {
        match self {
            Names::AllLinear => true,
            Names::Set(set) => {
                set.contains(name) || name.match_indices('.').any(|(dot, _)| set.contains(&name[dot + 1..]))
            }
            Names::Regex(regex) => found(regex, name),
        }
    }
}

impl TargetMatcher {
    pub(super) fn new(config: &PeftConfig) -> Result<Self> {
        // `(.*\.)?key$` in PEFT: the key matches the whole name or what follows a dot.
        let tail = |setting: &str, key: &str| compile(setting, key, &format!(r"\A(?:.*\.)?(?:{key})\z"));
        let layers = config.layers_to_transform.as_ref().map(|layers| {
            let lists = config.layers_pattern.iter();
            let lists = lists.map(|p| compile("layers_pattern", p, &format!(r"\A(?:.*?\.)?(?:{p})\.[0-9]+\.")));
            Ok::<_, Error>((layers.iter().copied().collect(), lists.collect::<Result<_>>()?))
        });
        Ok(TargetMatcher {
            target: Names::new("target_modules", &config.target_modules)?,
            exclude: config.exclude_modules.as_ref().map(|e| Names::new("exclude_modules", e)).transpose()?,
            modules_to_save: (config.modules_to_save.iter())
                .map(|m| compile("modules_to_save", m, &format!(r"\A(?:.*\.)?(?:{m})(?:\z|\.)")))
                .collect::<Result<_>>()?,
            saved_ends: config.modules_to_save.clone(),
            layers: layers.transpose()?,
            ranks: (config.rank_pattern.iter())
                .map(|(k, r)| Ok((tail("rank_pattern", k)?, *r)))
                .collect::<Result<_>>()?,
            alphas: (config.alpha_pattern.iter())
                .map(|(k, a)| Ok((tail("alpha_pattern", k)?, *a)))
                .collect::<Result<_>>()?,
            default: Adapted { r: config.r, alpha: config.lora_alpha },
            bias: config.bias,
        })
    }

    /// Rank and alpha of the adapter of the module called `name`, or `None` if it gets none.
    ///
    /// `name` is the module's dotted name in the model; `is_linear` whether it is a linear layer; `is_output_head` whether it
    /// turns hidden states into logits. As in PEFT: excluded modules and those saved in full come first; then a listed name must be
    /// the whole name or its end after a dot, a regular expression must match the whole name, and `all-linear` means linear
    /// layers but the head; then the layer's number must be listed, if layers are. Modules that are not linear get none.
    pub fn matches(&self, name: &str, is_linear: bool, is_output_head: bool) -> Option<Adapted> {
        let all = matches!(self.target, Names::AllLinear);
        if !is_linear
            || all && is_output_head
            || self.exclude.as_ref().is_some_and(|e| e.contain(name))
            || self.is_left_to_saving(name)
            || !self.target.contain(name)
            || !self.in_listed_layer(name)
        {
            return None;
        }
        let r = self.ranks.iter().find(|(p, _)| found(p, name)).map_or(self.default.r, |(_, r)| *r);
        let alpha = self.alphas.iter().find(|(p, _)| found(p, name)).map_or(self.default.alpha, |(_, a)| *a);
        Some(Adapted { r, alpha })
    }

    /// Whether the module is, or is inside, one that `modules_to_save` names, so that it gets no adapter.
    fn is_left_to_saving(&self, name: &str) -> bool {
        self.modules_to_save.iter().any(|m| found(m, name))
    }

    /// Whether the module is trained and saved in full: it is, or is inside, one whose name *ends* in one of
    /// `modules_to_save`, dot or not. PEFT takes `norm` for every `input_layernorm`, too.
    pub fn is_saved_in_full(&self, name: &str) -> bool {
        let ends = || name.match_indices('.').map(|(dot, _)| dot).chain([name.len()]);
        ends().any(|end| self.saved_ends.iter().any(|key| name[..end].ends_with(key.as_str())))
    }

    /// Whether modules are named, one by one or by an expression, rather than all linear ones taken.
    pub fn names_modules(&self) -> bool {
        !matches!(self.target, Names::AllLinear)
    }

    /// Whether the module's bias is trained, given whether it has an adapter.
    pub fn trains_bias(&self, is_adapted: bool) -> bool {
        match self.bias {
            Bias::None => false,
            Bias::All => true,
            Bias::LoraOnly => is_adapted,
        }
    }

    fn in_listed_layer(&self, name: &str) -> bool {
        let Some((wanted, lists)) = &self.layers else { return true };
        let layer = if lists.is_empty() {
            // `.*?\.[^.]*\.(\d+)\.` in PEFT: the first number with two names before it and one after.
            let parts: Vec<&str> = name.split('.').collect();
            let inner = parts.get(2..parts.len().saturating_sub(1)).unwrap_or_default();
            inner.iter().find(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())).copied()
        } else {
            let end = lists.iter().find_map(|l| l.find_iter(name).next()).map(|(_, end)| end);
            end.and_then(|end| name[..end - 1].rsplit('.').next())
        };
        layer.and_then(|l| l.parse().ok()).is_some_and(|l| wanted.contains(&l))
    }
}

fn found(regex: &SysRegex, name: &str) -> bool {
    regex.find_iter(name).next().is_some()
}

fn compile(key: &str, shown: &str, regex: &str) -> Result<SysRegex> {
    let fail = |why: String| {
        Error::new(
            ErrorKind::Config,
            "adapter config",
            format!("{key}: {} is no regular expression: {why}", quoted(shown)),
        )
    };
    if regex.len() > MAX_REGEX {
        return Err(fail(format!("it has more than {MAX_REGEX} characters")));
    }
    SysRegex::new(regex).map_err(|e| fail(e.to_string()))
}
