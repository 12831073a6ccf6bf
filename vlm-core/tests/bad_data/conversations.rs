//! K7 to K9 with the models and processors of the reference data: conversations that cannot be learnt as they are. (What is
//! learnt of those that can is tested in `conversations.rs` above.)

use crate::catalogue::{Row, row};
use crate::common::parity_folder;
use std::path::Path;
use vlm_core::data::{ImageRef, Message, Part, Role, Sample};
use vlm_core::models::load;
use vlm_core::models::processor::Processor;
use vlm_core::train::{ConversationOptions, ConversationTask, Task};
use vlm_core::{Device, ErrorKind, Result};

const FAMILIES: [&str; 5] = ["llava", "llava_next", "qwen2_5_vl", "smolvlm", "internvl"];

/// A question with so many marks of pictures and so many pictures, and its answer.
fn sample(marks: usize, pictures: usize, question: &str, answer: &str) -> Sample {
    let mut asked: Vec<Part> = (0..marks).map(Part::Image).collect();
    asked.push(Part::Text(question.to_owned()));
    let picture = ImageRef::Raw { width: 30, height: 20, rgb: vec![9; 1800].into() };
    Sample {
        id: "rows.jsonl:7".to_owned(),
        messages: vec![Message { role: Role::User, content: asked }, Message::text(Role::Assistant, answer)],
        images: vec![picture; pictures],
    }
}

/// The loss of one row, which must be finite.
fn loss(dir: &Path, sample: Sample, options: ConversationOptions) -> Result<String> {
    let (model, processor) = (load(dir, None, &Device::reference())?, Processor::load(dir)?);
    let samples = [sample];
    let task = ConversationTask::new(&*model, &processor, &samples, options)?;
    let loss = task.loss(&[0])?;
    Ok(format!("finite: {}, {} tokens", loss.sum.all_finite()?, loss.tokens))
}

fn of(
    number: &'static str,
    family: &'static str,
    what: &str,
    sample: Sample,
    cutoff_len: Option<usize>,
) -> Option<Row> {
    let dir = parity_folder(family)?.join("model");
    let options = ConversationOptions { cutoff_len, ..ConversationOptions::default() };
    Some(row(
        number,
        format!("{family}: {what}"),
        move || (dir, sample),
        move |(dir, sample)| loss(&dir, sample, options),
    ))
}

#[test]
fn conversations_that_are_too_long_or_do_not_fit_their_pictures_are_named() {
    let mut rows = Vec::new();
    let data =
        |row: Option<Row>, parts: &[&str]| row.map(|r| r.fails(ErrorKind::Data, &[&["rows.jsonl:7"], parts].concat()));
    for family in FAMILIES {
        let short = || sample(1, 1, "What is it?", "a red house");
        rows.push(of("K7", family, "as it is", short(), None).map(|r| r.works(&["finite: true"])));
        rows.push(data(
            of("K7", family, "a picture that is not shown", sample(0, 1, "What?", "a house"), None),
            &["0 placeholders", "1 pictures", "one picture for each"],
        ));
        rows.push(data(
            of("K7", family, "a picture too few", sample(2, 1, "What?", "a house"), None),
            &["2 placeholders", "1 pictures"],
        ));
        rows.push(data(
            of("K8", family, "cut inside of its picture", short(), Some(8)),
            &["cutoff_len 8 would cut its pictures, which need", "allow more tokens, use fewer or smaller pictures"],
        ));
        rows.push(data(
            of("K9", family, "cut before its answer", sample(0, 0, &"so ".repeat(40), "a house"), Some(20)),
            &["has nothing to learn within cutoff_len 20", "end the conversation with an answer"],
        ));
        rows.push(
            of("K8", family, "longer than the model's positions", sample(0, 0, &"so ".repeat(3000), "a house"), None)
                .map(|r| {
                    r.fails(ErrorKind::Config, &["is beyond max_position_embeddings 2048", "shorten the input"])
                        .seconds(20)
                }),
        );
        rows.push(
            of(
                "K8",
                family,
                "longer than the model's positions, and cut",
                sample(0, 0, "What?", &"a house ".repeat(3000)),
                Some(64),
            )
            .map(|r| r.works(&["finite: true"]).seconds(20)),
        );
        rows.push(
            of("K8", family, "a limit of one token", short(), Some(1))
                .map(|r| r.fails(ErrorKind::Config, &["cutoff_len is below 2"])),
        );
    }
    rows.push(data(empty_template("{{ '' }}"), &[]));
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    if !rows.is_empty() {
        crate::catalogue::judge(rows);
    }
}

/// A row about a template that shows nothing of what is said.
fn empty_template(template: &'static str) -> Option<Row> {
    let source = parity_folder("qwen2_5_vl")?.join("model");
    let make = move || {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            std::fs::write(dir.path().join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
        }
        std::fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        dir
    };
    let options = ConversationOptions::default();
    Some(row("K9", format!("a template that shows nothing: {template}"), make, move |dir| {
        loss(dir.path(), sample(0, 0, "What?", "a house"), options)
    }))
}
