//! What a server says a model consists of, and what of it we need.

use super::OP;
use crate::hub::cache::{is_wanted, list};
use crate::hub::id::{is_commit, shown};
use crate::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::collections::BTreeSet;

const INDEX: &str = "model.safetensors.index.json";

/// A server's answer about one revision of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit, 40 digits.
    pub commit: String,
    /// The files at the top level that can be part of what we load. Their names are plain ones on every system.
    pub files: BTreeSet<String>,
    /// Pickles among the files, of which none is ever read.
    pub pickles: BTreeSet<String>,
}

/// Where the weights of a model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// In this file.
    One(String),
    /// In the files that this one names.
    Index(String),
}

impl Listing {
    /// Reads the answer of `/api/models/<id>/revision/<revision>`: its `sha` and the `rfilename` of its `siblings`. Files in
    /// folders and of kinds that are not read are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if it is not JSON of this form.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let fail = |what: String| {
            Error::new(ErrorKind::Format, OP, format!("the server's answer about the model {what}"))
                .hint("is the address, HF_ENDPOINT, that of a server of models?")
        };
        let raw: Raw = serde_json::from_slice(json).map_err(|e| fail(format!("is not what it should be: {e}")))?;
        if !is_commit(&raw.sha) {
            return Err(fail(format!("names the commit {}, expected 40 digits", shown(&raw.sha))));
        }
        let names = || raw.siblings.iter().map(|s| s.rfilename.as_str());
        let is_pickle = |name: &&str| [".bin", ".pt", ".pth", ".ckpt"].iter().any(|k| name.ends_with(k));
        Ok(Listing {
            commit: raw.sha.to_ascii_lowercase(),
            files: names().filter(|n| is_wanted(n)).map(str::to_owned).collect(),
            pickles: names().filter(|n| !n.contains('/')).filter(is_pickle).map(str::to_owned).collect(),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    /// The weights, by the names under which they are looked for when they are loaded.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a repository that is no model, or whose weights are in another format, saying how to
    /// convert them.
    pub(super) fn weights(&self) -> Result<Weights> {
        let fail = |what: &str| Error::new(ErrorKind::Unsupported, OP, format!("the repository {what}"));
        let adapter = !self.has("config.json") && self.has("adapter_config.json");
        if adapter && self.has("adapter_model.safetensors") {
            return Ok(Weights::One("adapter_model.safetensors".to_owned()));
        }
        if !adapter && !self.has("config.json") {
            return Err(fail("has no config.json").hint("give the id of a model that transformers loads"));
        }
        if !adapter && self.has("model.safetensors") {
            return Ok(Weights::One("model.safetensors".to_owned()));
        }
        if !adapter && self.has(INDEX) {
            return Ok(Weights::Index(INDEX.to_owned()));
        }
        let pickles: Vec<String> = self.pickles.iter().cloned().collect();
        let weights: Vec<String> = self.files.iter().filter(|n| n.ends_with(".safetensors")).cloned().collect();
        let error = match (weights.is_empty(), pickles.is_empty()) {
            (false, _) => {
                fail(&format!("has weights under other names than those of transformers: {}", list(&weights)))
            }
            (true, false) => fail(&format!("has weights as pickles only, which are never read: {}", list(&pickles))),
            (true, true) => fail("has no weights"),
        };
        Err(error.hint(
            "convert them once, in Python: load the model with transformers (an adapter with peft) and call \
             save_pretrained(FOLDER), which writes safetensors; then give FOLDER. Or give a revision that has them: \
             conversions are often offered as refs/pr/1",
        ))
    }

    /// The files other than weights.
    pub(super) fn small(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str).filter(|n| !n.ends_with(".safetensors"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn listing(files: &[&str]) -> Listing {
        let siblings: Vec<_> = files.iter().map(|f| serde_json::json!({"rfilename": f, "other": 1})).collect();
        let answer = serde_json::json!({"id": "a/b", "sha": COMMIT.to_uppercase(), "siblings": siblings});
        Listing::parse(answer.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn only_plain_files_that_are_read_are_taken() {
        let taken =
            ["config.json", "chat_template.jinja", "merges.txt", "spiece.model", "model.safetensors", "a b.json"];
        let left = [
            "../evil.json",
            "/etc/evil.json",
            "onnx/config.json",
            "..",
            ".json",
            ".hidden.json",
            "a\\..\\evil.json",
            "C:evil.json",
            "a\0.json",
            "a\n.json",
            "README.md",
            "pytorch_model.bin",
            "model.onnx",
            "model.gguf",
            "x.py",
            "é.json",
            "model.safetensors.lock",
            "",
        ];
        let all: Vec<&str> = taken.iter().chain(&left).copied().collect();
        let found = listing(&all);
        assert_eq!(found.commit, COMMIT);
        assert_eq!(found.files.iter().map(String::as_str).collect::<BTreeSet<_>>(), taken.into_iter().collect());
        assert_eq!(found.pickles.iter().collect::<Vec<_>>(), ["pytorch_model.bin"]);
        assert_eq!(found.small().count(), 5);
        assert!(is_wanted(&format!("{}.json", "a".repeat(195))) && !is_wanted(&format!("{}.json", "a".repeat(196))));
    }

    #[test]
    fn weights_are_those_that_loading_would_open() {
        let weights = |files: &[&str]| listing(files).weights();
        let one = weights(&["config.json", "model.safetensors", INDEX, "consolidated.safetensors"]).unwrap();
        assert_eq!(one, Weights::One("model.safetensors".to_owned()));
        let many = weights(&["config.json", INDEX, "model-00001-of-00002.safetensors"]).unwrap();
        assert_eq!(many, Weights::Index(INDEX.to_owned()));
        let adapter = weights(&["adapter_config.json", "adapter_model.safetensors"]).unwrap();
        assert_eq!(adapter, Weights::One("adapter_model.safetensors".to_owned()));
        for (files, says) in [
            (&["README.md"] as &[&str], "no config.json"),
            (&["config.json"], "has no weights"),
            (&["config.json", "pytorch_model.bin"], "pickles only, which are never read: pytorch_model.bin"),
            (&["config.json", "consolidated.safetensors"], "other names than those of transformers"),
            (&["adapter_config.json", "adapter_model.bin"], "adapter_model.bin"),
        ] {
            let e = weights(files).unwrap_err();
            assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains(says), "{e}");
        }
        let e = weights(&["config.json", "pytorch_model.bin"]).unwrap_err().to_string();
        assert!(e.contains("save_pretrained") && e.contains("refs/pr/1"), "{e}");
    }

    #[test]
    fn other_answers_are_refused() {
        for json in ["", "<html>", "[]", "{}", r#"{"sha": 1, "siblings": []}"#, r#"{"sha": "../..", "siblings": []}"#] {
            let e = Listing::parse(json.as_bytes()).unwrap_err();
            assert!(e.kind() == ErrorKind::Format && e.to_string().contains("HF_ENDPOINT"), "{e}");
        }
    }
}
