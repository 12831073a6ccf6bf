//! F20 and F21: very thin and very small pictures through the processor of every family.

use crate::catalogue::family::{ENCODERS, WRITERS, forward, picture, process};
use crate::catalogue::{MIB, Row, judge, row};
use crate::common::parity_folder;
use vlm_core::ErrorKind;

fn through(number: &'static str, family: &'static str, width: usize, height: usize) -> Option<Row> {
    let dir = parity_folder(family)?.join("model");
    let what = format!("{width} x {height} pixels through {family}");
    let made = row(
        number,
        what,
        move || (dir, picture(width, height)),
        |(dir, picture)| {
            let found = process(&dir, &picture)?;
            Ok(format!("finite {:?}", found.shape))
        },
    );
    Some(made.works(&["finite ["]))
}

#[test]
fn very_thin_pictures_give_finite_numbers_or_are_refused() {
    let mut rows = Vec::new();
    for family in WRITERS.into_iter().chain(ENCODERS) {
        for (width, height) in [(1, 100_000), (100_000, 1), (1, 201), (201, 1), (1, 200), (200, 1)] {
            let Some(made) = through("F20", family, width, height) else { continue };
            // Qwen's reference refuses what is longer than 200 times its width.
            let refused = family.starts_with("qwen") && width.max(height) > 200;
            rows.push(match refused {
                true => made.fails(
                    ErrorKind::Image,
                    &["one side is more than 200 times the other", "picture: 0", "cut the picture"],
                ),
                false => made,
            });
        }
    }
    if !rows.is_empty() {
        judge(rows);
    }
}

#[test]
fn very_small_pictures_give_finite_numbers() {
    let mut rows = Vec::new();
    for family in WRITERS.into_iter().chain(ENCODERS) {
        for (width, height) in [(1, 1), (2, 2), (3, 1), (27, 27), (28, 28), (29, 29)] {
            rows.extend(through("F21", family, width, height));
        }
        let Some(folder) = parity_folder(family) else { continue };
        rows.push(
            row(
                "F21",
                format!("1 x 1 pixels through the whole of {family}"),
                move || (folder.join("model"), picture(1, 1)),
                |(dir, picture)| forward(&dir, &picture),
            )
            .works(&["finite ["])
            .memory(128 * MIB)
            .seconds(30),
        );
    }
    if !rows.is_empty() {
        judge(rows);
    }
}
