//! A conversation on the terminal.

use crate::ask;
use crate::asking::{Asker, print_piece};
use anyhow::Result;
use std::io::{BufRead, Write};
use std::path::Path;
use vlm_core::data::{Message, Role};
use vlm_core::vision::Picture;

/// Answers line by line until the input ends or `/quit`. A line that fails is reported, and the conversation goes on
/// without it.
pub(crate) fn talk(
    asker: &Asker,
    system: Vec<Message>,
    mut pictures: Vec<Picture>,
    input: &mut dyn BufRead,
) -> Result<()> {
    let (mut messages, mut shown) = (system.clone(), 0);
    let mut line = String::new();
    loop {
        print!("> ");
        let _ = std::io::stdout().flush();
        line.clear();
        if input.read_line(&mut line)? == 0 {
            println!();
            return Ok(());
        }
        match line.trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/new" => (messages, pictures, shown) = (system.clone(), Vec::new(), 0),
            text => match text.strip_prefix("/image") {
                Some(path) if path.starts_with(char::is_whitespace) => match Picture::open(Path::new(path.trim())) {
                    Ok(picture) => {
                        println!("{} x {} pixels", picture.width(), picture.height());
                        pictures.push(picture);
                    }
                    Err(e) => println!("error: {e}"),
                },
                _ if text.starts_with('/') => println!("commands: /image PATH, /new, /quit"),
                _ => {
                    messages.push(ask(text, shown..pictures.len()));
                    match asker.answer(&[(messages.clone(), pictures.clone())], print_piece) {
                        Ok(mut said) => {
                            println!();
                            let answer = said.answers.pop().map(|a| a.text).unwrap_or_default();
                            messages.push(Message::text(Role::Assistant, answer));
                            shown = pictures.len();
                        }
                        Err(e) => {
                            println!("error: {e:#}");
                            messages.pop();
                        }
                    }
                }
            },
        }
    }
}
