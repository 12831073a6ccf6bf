//! J29 and J30: files that are no files, may not be read, or are only pointers.

use crate::catalogue::Row;
use crate::folder::{Folder, everything, judge, on};
use std::path::Path;
use vlm_core::ErrorKind;

/// The files that a folder of each kind cannot do without.
const NEEDED: [(&str, &str); 9] = [
    ("llava", "config.json"),
    ("llava", "model.safetensors"),
    ("llava", "tokenizer.json"),
    ("llava", "tokenizer_config.json"),
    ("llava", "preprocessor_config.json"),
    ("llava", "chat_template.json"),
    ("clip", "tokenizer.json"),
    ("clip", "preprocessor_config.json"),
    ("clip", "model.safetensors"),
];

fn each(number: &'static str, what: &str, change: fn(&Path), then: impl Fn(Row) -> Row) -> Vec<Option<Row>> {
    let make = |(family, name): (&'static str, &'static str)| {
        let spoil = move |f: &Folder| {
            f.remove(name);
            change(&f.path(name));
        };
        on(number, family, &format!("{name} is {what}"), spoil, everything).map(&then)
    };
    NEEDED.into_iter().map(make).collect()
}

#[test]
fn what_is_no_readable_file_is_named_and_never_waited_for() {
    let mut rows = each(
        "J29",
        "a directory",
        |path| std::fs::create_dir(path).unwrap(),
        |r| r.fails(ErrorKind::Io, &["is a directory, expected a regular file"]),
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        rows.extend(each(
            "J29",
            "a broken link",
            |path| symlink("gone", path).unwrap(),
            |r| r.fails(ErrorKind::Io, &["No such file", "link to: gone", "fetch the file again"]),
        ));
        rows.extend(each(
            "J29",
            "a link to itself",
            |path| symlink(path.file_name().unwrap(), path).unwrap(),
            |r| r.fails(ErrorKind::Io, &["link to: "]),
        ));
        let fifo = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        rows.extend(each("J29", "a pipe", fifo, |r| {
            r.fails(ErrorKind::Io, &["is a pipe, socket or device, expected a regular file"])
        }));
        let closed = |path: &Path| {
            std::fs::write(path, "{}").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0)).unwrap();
        };
        // The superuser may read everything, so there is nothing to see for it.
        let probe = tempfile::tempdir().unwrap();
        closed(&probe.path().join("x"));
        if std::fs::read(probe.path().join("x")).is_err() {
            rows.extend(each("J29", "closed to this user", closed, |r| {
                r.fails(ErrorKind::Io, &["Permission denied", "this user may not read it"])
            }));
        }
        rows.push(
            on(
                "J29",
                "llava",
                "chat_template.jinja is a broken link",
                |f| symlink("gone", f.path("chat_template.jinja")).unwrap(),
                everything,
            )
            .map(|r| r.fails(ErrorKind::Io, &["chat_template.jinja", "link to: gone"])),
        );
        rows.push(
            on(
                "J29",
                "llava",
                "special_tokens_map.json is a pipe",
                move |f| {
                    f.remove("special_tokens_map.json");
                    fifo(&f.path("special_tokens_map.json"));
                },
                everything,
            )
            .map(|r| r.fails(ErrorKind::Io, &["special_tokens_map.json", "is a pipe"])),
        );
    }
    judge(rows);
}

#[test]
fn pointers_of_git_lfs_are_told_from_what_they_point_to() {
    let pointer = |path: &Path| {
        std::fs::write(path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 723880\n").unwrap();
    };
    let mut rows = each("J30", "a git-lfs pointer", pointer, |r| {
        r.fails(ErrorKind::Format, &["a git-lfs pointer", "git lfs pull"])
    });
    rows.push(
        on(
            "J30",
            "llava",
            "the template is a git-lfs pointer",
            move |f| pointer(&f.path("chat_template.jinja")),
            everything,
        )
        .map(|r| r.fails(ErrorKind::Format, &["chat_template.jinja is a git-lfs pointer", "git lfs pull"])),
    );
    judge(rows);
}
