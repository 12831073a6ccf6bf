//! `dataset_info.json`: datasets by name, as LLaMA-Factory registers them.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};
use std::io::Read;
use std::path::{Path, PathBuf};
use vlm_core::data::{AlpacaColumns, Columns};

const NAME: &str = "dataset_info.json";
const MAX_FILE: u64 = 16 << 20;
/// Settings of an entry that say what is done here anyway, or nothing.
const KNOWN: [&str; 6] = ["file_name", "formatting", "columns", "tags", "split", "ranking"];

/// Where a dataset's rows are and what its columns are called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// `None`: told from each row's keys.
    pub(super) columns: Option<Columns>,
    /// Where its pictures are if nobody says otherwise; `None` for the folder of the file.
    pub(super) media: Option<PathBuf>,
}

/// What `name` stands for: an entry of `dataset_info.json` in `dir`, or a path.
pub(super) fn find(name: &str, dir: &Path) -> Result<Place> {
    let registry = dir.join(NAME);
    if registry.is_file() {
        let all = read(&registry)?;
        if let Some(entry) = all.get(name) {
            let place = entry_place(entry, dir);
            return place.with_context(|| format!("{}: dataset {name:?}", registry.display()));
        }
        if !Path::new(name).exists() {
            let known: Vec<&str> = all.keys().take(20).map(String::as_str).collect();
            bail!(
                "dataset {name:?} is neither a path nor a name in {}, which has {}",
                registry.display(),
                known.join(", ")
            );
        }
    }
    let path = PathBuf::from(name);
    if !path.exists() {
        bail!("dataset {name:?} is no path, and there is no {} to look it up in", registry.display());
    }
    Ok(Place { path, columns: None, media: None })
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    file.take(MAX_FILE + 1).read_to_end(&mut text).with_context(|| format!("reading {}", path.display()))?;
    ensure!(text.len() as u64 <= MAX_FILE, "{} has more than {MAX_FILE} bytes", path.display());
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON object", path.display()))
}

fn entry_place(entry: &Value, dir: &Path) -> Result<Place> {
    let entry = entry.as_object().ok_or_else(|| anyhow!("the entry is no object"))?;
    for (key, value) in entry.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())) {
        match key.as_str() {
            "hf_hub_url" | "ms_hub_url" | "om_hub_url" | "script_url" | "cloud_file_name" => {
                let file = entry.get("file_name").and_then(Value::as_str);
                ensure!(
                    file.is_some(),
                    "{key} is {value}: datasets are not downloaded; download it and give its file_name"
                );
            }
            _ => bail!("{key} is not supported, found {value}"),
        }
    }
    ensure!(entry.get("ranking").is_none_or(|r| r == false), "ranking is not supported: the stage is sft");
    ensure!(entry.get("split").is_none_or(|s| s == "train"), "split is not supported: give the file of the split");
    let file = entry.get("file_name").and_then(Value::as_str).ok_or_else(|| anyhow!("there is no file_name"))?;
    let names = |key: &str| match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(names)) => Ok(Some(names)),
        Some(other) => Err(anyhow!("{key} is {other}, expected an object of names")),
    };
    let path = dir.join(file);
    ensure!(path.exists(), "file_name is {file:?}, and there is no {}", path.display());
    let columns = columns(entry.get("formatting"), names("columns")?, names("tags")?)?;
    Ok(Place { path, columns: Some(columns), media: Some(dir.to_path_buf()) })
}

type Names<'e> = Option<&'e Map<String, Value>>;

fn columns(formatting: Option<&Value>, names: Names<'_>, tags: Names<'_>) -> Result<Columns> {
    let formatting = formatting.map_or(Some("alpaca"), Value::as_str);
    let mut columns = match formatting {
        Some("alpaca") => {
            let mut alpaca = AlpacaColumns::alpaca();
            // Without a column for them, there are no earlier turns, whatever the rows have.
            alpaca.history = String::new();
            Columns::alpaca(alpaca)
        }
        Some("sharegpt") => Columns::sharegpt(),
        Some("openai") => Columns::messages(),
        other => bail!("formatting is {other:?}, expected alpaca, sharegpt or openai"),
    };
    if names.is_some() {
        // What is not named is not there.
        (columns.images, columns.system) = (Vec::new(), String::new());
    }
    for (key, value) in names.into_iter().flatten() {
        let Some(name) = value.as_str() else { bail!("columns.{key} is {value}, expected a name") };
        let name = name.to_owned();
        match (key.as_str(), &mut columns.alpaca) {
            ("messages", None) => columns.messages = name,
            ("images", _) => columns.images = vec![name],
            ("system", _) => columns.system = name,
            ("prompt", Some(alpaca)) => alpaca.prompt = name,
            ("query", Some(alpaca)) => alpaca.query = name,
            ("response", Some(alpaca)) => alpaca.response = name,
            ("history", Some(alpaca)) => alpaca.history = name,
            ("videos" | "audios", _) => bail!("columns.{key}: pictures are the only media"),
            ("tools" | "chosen" | "rejected" | "kto_tag", _) => bail!("columns.{key} is not supported"),
            _ => bail!("columns.{key} is unknown for formatting {}", formatting.unwrap_or_default()),
        }
    }
    let mut functions = None;
    for (key, value) in tags.into_iter().flatten() {
        let Some(tag) = value.as_str() else { bail!("tags.{key} is {value}, expected a name") };
        let tag = tag.to_owned();
        match key.as_str() {
            "role_tag" => columns.role_tag = tag,
            "content_tag" => columns.content_tag = tag,
            "user_tag" => columns.user_tags = vec![tag],
            "assistant_tag" => columns.assistant_tags = vec![tag],
            "system_tag" => columns.system_tags = vec![tag],
            "observation_tag" => columns.tool_tags = vec![tag],
            "function_tag" => functions = Some(tag),
            _ => bail!("tags.{key} is unknown"),
        }
    }
    // A call of a function is what the assistant says.
    columns.assistant_tags.extend(functions);
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(info: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), info).unwrap();
        std::fs::write(dir.path().join("a.json"), "[]").unwrap();
        dir
    }

    #[test]
    fn entries_say_where_rows_are_and_what_columns_are_called() {
        let dir = folder(
            r#"{"plain": {"file_name": "a.json"},
                "named": {"file_name": "a.json", "formatting": "sharegpt",
                          "columns": {"messages": "messages", "images": "pics"},
                          "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "me", "assistant_tag": "you",
                                   "function_tag": "call"}}}"#,
        );
        let named = find("named", dir.path()).unwrap();
        assert_eq!((named.path, named.media), (dir.path().join("a.json"), Some(dir.path().to_path_buf())));
        let columns = named.columns.unwrap();
        assert_eq!((columns.messages.as_str(), &columns.images[..]), ("messages", &["pics".to_owned()][..]));
        assert_eq!((columns.role_tag.as_str(), columns.content_tag.as_str()), ("role", "content"));
        assert_eq!(
            (&columns.user_tags[..], &columns.assistant_tags[..]),
            (&["me".into()][..], &["you".into(), "call".into()][..])
        );
        assert_eq!(columns.system, "");
        let plain = find("plain", dir.path()).unwrap().columns.unwrap();
        let alpaca = plain.alpaca.unwrap();
        assert_eq!((alpaca.prompt.as_str(), alpaca.history.as_str()), ("instruction", ""));
        let path = dir.path().join("a.json");
        let place = find(path.to_str().unwrap(), dir.path()).unwrap();
        assert_eq!((place.columns, place.media), (None, None));
    }

    #[test]
    fn entries_that_cannot_be_used_are_named() {
        for (entry, part) in [
            (r#"{"hf_hub_url": "a/b"}"#, "download it and give its file_name"),
            (r#"{"file_name": "b.json"}"#, "there is no"),
            (r#"{"file_name": "a.json", "ranking": true}"#, "ranking is not supported"),
            (r#"{"file_name": "a.json", "split": "test"}"#, "split is not supported"),
            (r#"{"file_name": "a.json", "num_samples": 5}"#, "num_samples is not supported"),
            (r#"{"file_name": "a.json", "formatting": "x"}"#, "expected alpaca, sharegpt or openai"),
            (r#"{"file_name": "a.json", "columns": {"videos": "v"}}"#, "columns.videos: pictures are the only media"),
            (
                r#"{"file_name": "a.json", "columns": {"messages": "m"}}"#,
                "columns.messages is unknown for formatting alpaca",
            ),
            (r#"{"file_name": "a.json", "columns": []}"#, "columns is [], expected an object"),
            (r#"{"file_name": "a.json", "tags": {"x": "y"}}"#, "tags.x is unknown"),
            ("[]", "the entry is no object"),
        ] {
            let dir = folder(&format!("{{\"it\": {entry}}}"));
            let e = format!("{:#}", find("it", dir.path()).unwrap_err());
            assert!(e.contains(part) && e.contains("dataset \"it\""), "{entry}: {e}");
        }
        let dir = folder(r#"{"it": {}}"#);
        let e = find("other", dir.path()).unwrap_err().to_string();
        assert!(e.contains("neither a path nor a name") && e.contains("which has it"), "{e}");
        let e = format!("{:#}", find("it", folder("[]").path()).unwrap_err());
        assert!(e.contains("is no JSON object"), "{e}");
        let empty = tempfile::tempdir().unwrap();
        let e = find("it", empty.path()).unwrap_err().to_string();
        assert!(e.contains("\"it\" is no path") && e.contains(NAME), "{e}");
    }
}
