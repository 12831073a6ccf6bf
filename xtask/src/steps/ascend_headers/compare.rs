//! Two sets of declarations, name by name.

use super::declarations::{Declarations, Named, Shape};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// What others need not have: a header of ours, or one name.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) what: &'static str,
    pub(super) why: &'static str,
}

/// How many are the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    types: usize,
    constants: usize,
    functions: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.types += other.types;
        self.constants += other.constants;
        self.functions += other.functions;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} types, {} constants, {} functions", self.types, self.constants, self.functions)
    }
}

/// What comparing found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<String>,
    /// By header of ours and reason.
    absent: BTreeMap<(String, &'static str), Vec<String>>,
    /// The allowed absences that there are.
    used: Vec<&'static str>,
}

impl Findings {
    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// The names that others lack, and why they may.
    pub(super) fn absent(&self) -> impl Iterator<Item = (&str, &str, &[String])> {
        self.absent.iter().map(|((file, why), names)| (file.as_str(), *why, names.as_slice()))
    }

    /// Fails if there is anything to say.
    pub(super) fn finish(self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        bail!("{} declarations are not the vendor's:\n{}", self.problems.len(), self.problems.join("\n"));
    }

    /// Compares a header of ours, whose names `whole` knows, with `theirs`.
    pub(super) fn compare(
        &mut self,
        file: &str,
        ours: &Declarations,
        whole: &Declarations,
        theirs: &Declarations,
        absent: &[Absent],
    ) -> Counts {
        let mut counts = Counts::default();
        for (name, our) in &ours.types {
            let Some(their) = theirs.types.get(name) else {
                self.lacks(file, name, absent);
                continue;
            };
            match types(our, whole, their, theirs) {
                Ok(()) => counts.types += 1,
                Err((a, b)) => self.differ("type", name, &a, &b),
            }
        }
        for (name, (our_type, our)) in &ours.constants {
            let Some((their_type, their)) = theirs.constants.get(name) else {
                self.lacks(file, name, absent);
                continue;
            };
            if our != their {
                self.differ("constant", name, our, their);
            } else if let Some((a, b)) = enums(our_type, whole, their_type, theirs) {
                self.differ("type of the constant", name, a, b);
            } else {
                counts.constants += 1;
            }
        }
        for (name, our) in &ours.functions {
            let Some(their) = theirs.functions.get(name) else {
                self.lacks(file, name, absent);
                continue;
            };
            let (a, b) = (whole.resolve_signature(our, theirs), theirs.resolve_signature(their, whole));
            if a == b {
                counts.functions += 1;
            } else {
                self.differ("function", name, &a.to_string(), &b.to_string());
            }
        }
        counts
    }

    /// Says which allowed absences there are no more.
    pub(super) fn stale(&mut self, absent: &[Absent]) {
        for entry in absent.iter().filter(|a| !self.used.contains(&a.what)) {
            self.problems.push(format!("{} is there by now: the list of what is not has to lose it", entry.what));
        }
    }

    fn lacks(&mut self, file: &str, name: &str, absent: &[Absent]) {
        match absent.iter().find(|a| a.what == name || a.what == file) {
            Some(entry) => {
                self.used.push(entry.what);
                self.absent.entry((file.to_owned(), entry.why)).or_default().push(name.to_owned());
            }
            None => self.problems.push(format!("{name} of {file} is not in the vendor's headers")),
        }
    }

    fn differ(&mut self, kind: &str, name: &str, ours: &str, theirs: &str) {
        self.problems.push(format!("{kind} {name}: ours is {ours}, the vendor's is {theirs}"));
    }
}

/// The two as text where they differ.
fn types(
    our: &Named,
    whole: &Declarations,
    their: &Named,
    theirs: &Declarations,
) -> std::result::Result<(), (String, String)> {
    let same = match (our, their) {
        // Of an enum the sign depends on its values, and nobody looks at it.
        (Named::Alias(a), Named::Alias(b)) => {
            let (a, b) = (whole.resolve(a, theirs), theirs.resolve(b, whole));
            a == b || [&a, &b].iter().all(|s| matches!(s, Shape::Name(n) if n == "i32" || n == "u32"))
        }
        // Members that we do not look at need not be told.
        (Named::Members { members: None, .. }, Named::Members { .. }) => true,
        (Named::Members { union: a, members: Some(ours) }, Named::Members { union: b, members: Some(vendors) }) => {
            let one = ours.iter().map(|(n, s)| (n, whole.resolve(s, theirs)));
            let other = vendors.iter().map(|(n, s)| (n, theirs.resolve(s, whole)));
            a == b && one.eq(other)
        }
        _ => false,
    };
    if same { Ok(()) } else { Err((our.to_string(), their.to_string())) }
}

/// The names of the two enums that a constant belongs to, where they differ.
fn enums<'a>(
    our: &'a Shape,
    whole: &Declarations,
    their: &'a Shape,
    theirs: &Declarations,
) -> Option<(&'a str, &'a str)> {
    let (Shape::Name(a), Shape::Name(b)) = (our, their) else { return None };
    let declared = whole.types.contains_key(a) && theirs.types.contains_key(b);
    // Some of our constants have a type of numbers where the vendor's have none.
    let enums = declared && a != "aclError" && a != "aclnnStatus";
    (enums && a != b).then_some((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(ours: &str, theirs: &str, absent: &[Absent]) -> Vec<String> {
        let read = |text| Declarations::read(text).expect("Rust");
        let (ours, theirs) = (read(ours), read(theirs));
        let mut findings = Findings::default();
        findings.compare("a.h", &ours, &ours, &theirs, absent);
        findings.stale(absent);
        findings.problems
    }

    #[test]
    fn names_of_parameters_and_of_numbers_do_not_matter() {
        let ours = "pub type Kind = c_int; pub type Word = u32; pub const K: Kind = 1; unsafe extern \"C\" { pub fn f(a: Kind, b: *const Word) -> c_int; }";
        let theirs = "pub type Kind = c_uint; pub const K: Kind = 1; unsafe extern \"C\" { pub fn f(x: Kind, y: *const c_uint) -> i32; }";
        let problems = compared(ours, theirs, &[Absent { what: "Word", why: "ours" }]);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn differences_are_found() {
        let ours = "pub type A = c_int; pub type B = c_int; pub const K: A = 1; pub const L: A = 1; pub struct S { pub a: u32, pub b: u64 } \
                    unsafe extern \"C\" { pub fn f(a: A, b: *const u8); pub fn g(a: A); pub fn h(); }";
        let theirs = "pub type A = c_int; pub type B = u64; pub const K: A = 2; pub const L: B = 1; pub struct S { pub b: u64, pub a: u32 } \
                      unsafe extern \"C\" { pub fn f(a: A, b: *mut u8); pub fn g(a: B); }";
        let problems = compared(ours, theirs, &[]);
        let starts = [
            "type B:",
            "type S:",
            "constant K:",
            "type of the constant L:",
            "function f:",
            "function g:",
            "h of a.h is not",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        assert!(problems.iter().zip(starts).all(|(p, start)| p.starts_with(start)), "{problems:?}");
    }

    #[test]
    fn absences_are_listed_and_end() {
        let listed = [Absent { what: "a.h", why: "for a reason" }];
        assert!(compared("pub type A = u8;", "", &listed).is_empty());
        assert_eq!(compared("pub type A = u8;", "pub type A = u8;", &listed).len(), 1);
    }
}
