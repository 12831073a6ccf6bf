//! The table of aclnn's operations against the prototypes of an installed CANN.

use super::compare::Findings;
use super::declarations::{Declarations, Shape, Signature};
use vlm_ascend_sys::{ACLNN, Aclnn};

/// Compares both phases of every operation that is there, and says which are not. How many are the same.
pub(super) fn compare(theirs: &Declarations, findings: &mut Findings) -> usize {
    let (mut same, mut missing) = (0, Vec::new());
    for op in ACLNN {
        let names = [format!("aclnn{}GetWorkspaceSize", op.name), format!("aclnn{}", op.name)];
        let [Some(plan), Some(run)] = names.each_ref().map(|name| theirs.functions.get(name)) else {
            missing.push(op.name);
            continue;
        };
        let (want, have) = (first(op), plain(plan, theirs));
        let (want_run, have_run) = (["*void", "u64", "*aclOpExecutor", "*void"], plain(run, theirs));
        if want != have {
            findings.problem(format!("{}: the table has {}, CANN {}", names[0], want.join(", "), have.join(", ")));
        } else if have_run != want_run {
            findings.problem(format!("{}: CANN has {}", names[1], have_run.join(", ")));
        } else {
            same += 1;
        }
    }
    if !missing.is_empty() {
        println!("not there, {} operations: {}", missing.len(), missing.join(" "));
    }
    same
}

/// The first phase's arguments by the table.
fn first(op: &Aclnn) -> Vec<String> {
    let arguments = op.arguments.iter().map(|(_, kind)| match kind.trim_start_matches("opt_") {
        "tensor" | "out" | "inout" => "*aclTensor",
        "tensors" => "*aclTensorList",
        "scalar" => "*aclScalar",
        "ints" => "*aclIntArray",
        "bools" => "*aclBoolArray",
        "dtype" => "aclDataType",
        "str" => "*c_char",
        number => number,
    });
    arguments.chain(["*u64", "**aclOpExecutor"]).map(str::to_owned).collect()
}

/// A prototype's arguments without `const`, which changes nothing for a caller.
fn plain(signature: &Signature, names: &Declarations) -> Vec<String> {
    let keep = Declarations::keeping(&[
        "aclTensor",
        "aclTensorList",
        "aclScalar",
        "aclIntArray",
        "aclBoolArray",
        "aclOpExecutor",
        "aclDataType",
    ]);
    names.resolve_signature(signature, &keep).arguments.iter().map(text).collect()
}

fn text(shape: &Shape) -> String {
    match shape {
        Shape::Name(name) if name == "c_void" => "void".to_owned(),
        Shape::Name(name) => name.clone(),
        Shape::Pointer { to, .. } => format!("*{}", text(to)),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prototypes_are_held_against_the_table() {
        let header = |last: &str| {
            format!(
                "pub type aclnnStatus = i32; pub type aclrtStream = *mut c_void; pub type aclDataType = c_int; \
                 pub struct aclTensor {{ _unused: [u8; 0] }} pub struct aclOpExecutor {{ _unused: [u8; 0] }} \
                 unsafe extern \"C\" {{ \
                 pub fn aclnnCastGetWorkspaceSize(a: *const aclTensor, b: {last}, c: *mut aclTensor, d: *mut u64, \
                 e: *mut *mut aclOpExecutor) -> aclnnStatus; \
                 pub fn aclnnCast(a: *mut c_void, b: u64, c: *mut aclOpExecutor, d: aclrtStream) -> aclnnStatus; }}"
            )
        };
        let problems = |text: &str| {
            let mut findings = Findings::default();
            let same = compare(&Declarations::read(text).expect("Rust"), &mut findings);
            (same, findings.finish().err().map(|e| e.to_string()))
        };
        assert_eq!(problems(&header("aclDataType")), (1, None));
        let (same, problem) = problems(&header("i64"));
        assert_eq!(same, 0);
        assert!(problem.is_some_and(|p| p.contains("aclnnCastGetWorkspaceSize")));
    }
}
