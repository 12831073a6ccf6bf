//! Our declarations of AscendCL against the vendor's, which are a build-time input here and never kept in the repository.
//!
//! The wheel of torch_npu has the headers of the runtime, of models and of operators. Those of aclnn and HCCL only come with CANN: they
//! are compared too where `ASCEND_HOME_PATH` says that there is one.

mod compare;
mod declarations;
mod operations;

use super::python::pip;
use crate::bindings::HEADER;
use crate::bindings::clang::{INPUTS, Language, Translation};
use crate::run::check;
use crate::workspace::path;
use anyhow::{Context, Result, ensure};
use compare::{Absent, Counts, Findings};
use declarations::Declarations;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The wheel whose headers are read: plain C, unlike those up to 2.6.
const TORCH_NPU: &str = "2.11.0.post3";
/// Where they lie in the wheel.
const IN_WHEEL: &str = "torch_npu/include/third_party/acl/inc";

/// What the wheel's headers do not have, though we declare it. Whole files of ours, then single names.
const NOT_IN_WHEEL: &[Absent] = &[
    Absent { what: "aclnn.h", why: "aclnn's headers come with CANN, not with the wheel" },
    Absent { what: "hccl.h", why: "HCCL's header comes with CANN, not with the wheel" },
];

/// What one header of ours declares.
struct Ours {
    file: String,
    declarations: Declarations,
}

/// Compares; fails at any difference.
pub(crate) fn run() -> Result<()> {
    let ours = ours()?;
    let headers = wheel()?;
    let mut findings = Findings::default();
    let theirs = vendor(
        &headers,
        Language::C,
        &[
            "acl/acl.h",
            "acl/acl_mdl.h",
            "acl/acl_op.h",
            "acl/acl_op_compiler.h",
            "acl/acl_rt_memory_soma.h",
            "profiling/aprof_pub.h",
        ],
        vec![headers.clone(), headers.join("acl")],
    )?;
    let counts = compare_all(&ours, &theirs, NOT_IN_WHEEL, &mut findings);
    println!("torch_npu {TORCH_NPU}: the same are {counts}");
    print_absent(&findings);
    if let Some(home) = std::env::var_os("ASCEND_HOME_PATH").map(PathBuf::from).filter(|h| has_operations(h)) {
        cann(&home, &ours, &mut findings)?;
    } else {
        println!(
            "aclnn and HCCL were compared with nothing: ASCEND_HOME_PATH names no CANN with headers of operations"
        );
    }
    findings.finish()
}

/// What each of our headers declares.
fn ours() -> Result<Vec<Ours>> {
    let folder = path(HEADER).with_extension("");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let translation = Translation {
                header: path(HEADER),
                language: Language::C,
                include: Vec::new(),
                files: format!(r".*/vlm_ascend/{}", file.replace('.', r"\.")),
                without: &[],
            };
            let declarations = Declarations::read(&translation.run()?).with_context(|| format!("reading {file}"))?;
            Ok(Ours { file, declarations })
        })
        .collect()
}

/// What the vendor's headers in a folder declare.
fn vendor(folder: &Path, language: Language, headers: &[&str], include: Vec<PathBuf>) -> Result<Declarations> {
    let all = tempfile::tempdir().context("making a folder for a header")?;
    let header = all.path().join("all.h");
    let text: String = headers.iter().map(|h| format!("#include \"{}\"\n", folder.join(h).display())).collect();
    std::fs::write(&header, text).context("writing a header")?;
    let files = format!("{}/.*", folder.display().to_string().replace('.', r"\."));
    let text = Translation { header, language, include, files, without: &[] }.run()?;
    Declarations::read(&text).context("reading the vendor's headers")
}

fn compare_all(ours: &[Ours], theirs: &Declarations, absent: &[Absent], findings: &mut Findings) -> Counts {
    let whole = whole(ours);
    let mut counts = Counts::default();
    for header in ours {
        counts += findings.compare(&header.file, &header.declarations, &whole, theirs, absent);
    }
    findings.stale(absent);
    counts
}

/// Our headers together.
fn whole(ours: &[Ours]) -> Declarations {
    let mut whole = Declarations::default();
    ours.iter().for_each(|o| whole.extend(&o.declarations));
    whole
}

fn print_absent(findings: &Findings) {
    for (file, why, names) in findings.absent() {
        println!("not there, {} of {file} ({why}): {}", names.len(), names.join(" "));
    }
}

/// The folder with the wheel's headers, which is fetched once.
fn wheel() -> Result<PathBuf> {
    let folder = path(INPUTS).join(format!("torch-npu-{TORCH_NPU}"));
    let headers = folder.join(IN_WHEEL);
    if headers.join("acl/acl.h").is_file() {
        return Ok(headers);
    }
    let temporary = tempfile::tempdir().context("making a folder for the wheel")?;
    let mut pip = pip()?;
    let python = pip.get_program().to_owned();
    // Of one platform wherever this runs: its headers are those of all.
    pip.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    pip.args(["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp", "--dest"]);
    check(pip.arg(temporary.path()).arg(format!("torch-npu=={TORCH_NPU}"))).with_context(|| {
        format!("fetching the wheel of torch_npu {TORCH_NPU}, whose headers this compares with, from the Python package index")
    })?;
    let wheel = std::fs::read_dir(temporary.path())?.next().context("pip fetched no wheel")??.path();
    const UNPACK: &str = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n\
        z.extractall(sys.argv[2], [n for n in z.namelist() if n.endswith('.h') and n.startswith(tuple(sys.argv[3:]))])";
    // The folder has its name when it is whole.
    let unpacked = path(INPUTS).join("unpacking");
    for old in [&unpacked, &folder] {
        if old.exists() {
            std::fs::remove_dir_all(old).with_context(|| format!("removing {}", old.display()))?;
        }
    }
    let mut unpack = Command::new(python);
    unpack.args(["-c", UNPACK]).arg(wheel).arg(&unpacked);
    check(unpack.args(["acl/", "profiling/"].map(|part| format!("{IN_WHEEL}/{part}"))))?;
    ensure!(unpacked.join(IN_WHEEL).join("acl/acl.h").is_file(), "the wheel has no {IN_WHEEL}/acl/acl.h");
    std::fs::rename(&unpacked, &folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(headers)
}

fn has_operations(home: &Path) -> bool {
    home.join("include/aclnnop").is_dir()
}

/// Compares with all that an installation has: its operations with our table, the rest with our headers.
fn cann(home: &Path, ours: &[Ours], findings: &mut Findings) -> Result<()> {
    let include = home.join("include");
    let mut headers = Vec::new();
    for entry in std::fs::read_dir(include.join("aclnnop"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // These only include others, some of which are not there.
        let collects = ["aclnn_ops_", "aclnn_math.h", "aclnn_rand.h"].iter().any(|c| name.starts_with(c));
        if name.starts_with("aclnn_") && name.ends_with(".h") && !collects {
            headers.push(format!("aclnnop/{name}"));
        }
    }
    headers.sort();
    for known in ["acl/acl.h", "acl/acl_op_compiler.h", "aclnn/acl_meta.h", "aclnn/aclnn_base.h", "hccl/hccl.h"] {
        if include.join(known).is_file() {
            headers.push(known.to_owned());
        }
    }
    let names: Vec<&str> = headers.iter().map(String::as_str).collect();
    let folders = ["", "aclnn", "aclnnop"].map(|f| include.join(f)).to_vec();
    let theirs = vendor(&include, Language::Cpp, &names, folders)?;
    let same = operations::compare(&theirs, findings);
    println!("{}: the same are {same} operations of our table", home.display());
    let whole = whole(ours);
    // Old installations lack some of it; what they have is to be the same.
    for header in ours {
        let known = header.declarations.known_to(&theirs);
        let counts = findings.compare(&header.file, &known, &whole, &theirs, &[]);
        println!("{}: the same are {counts} of {}", home.display(), header.file);
    }
    Ok(())
}
