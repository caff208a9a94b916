//! Container images made here: one static program, one layer, no registry.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::ClusterError;
use crate::lab::sources_newer_than;

/// What pods of tests run: Kubernetes' own test program, which listens, connects and waits.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.63.0";
/// What holds a pod's namespaces.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// What sends numbered datagrams from the moment it runs: `tests/control-plane/gap-sender`.
pub const GAP_SENDER: &str = "netpol.test/gap-sender:1";

const BLOCK: usize = 512;

/// The archive of netpol's own image: `$NETPOL_IMAGE`, else where `make image` puts it, beside the running test's
/// profile; there it must be newer than its sources.
pub fn netpol_image() -> Result<PathBuf, ClusterError> {
    if let Some(chosen) = std::env::var_os("NETPOL_IMAGE") {
        return Ok(chosen.into());
    }
    let executable = std::env::current_exe().map_err(ClusterError::io("path of this program"))?;
    let target = executable.ancestors().nth(3).unwrap_or(&executable);
    let archive = target.join(format!("image/netpol-{}.tar", env!("CARGO_PKG_VERSION")));
    if !archive.is_file() {
        let problem = "is missing".to_owned();
        return Err(ClusterError::NoImage { archive, problem });
    }
    let Some(newer) = sources_newer_than(&archive) else {
        return Ok(archive);
    };
    let problem = format!("is older than {}", newer.display());
    Err(ClusterError::NoImage { archive, problem })
}

/// An image around a program: its name, entry point and arguments.
type Image = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Programs of the tests, and the images around each.
const PROGRAMS: [(&str, &[Image]); 2] = [
    (
        "agnhost",
        &[
            (AGNHOST, &["/agnhost"], &["pause"]),
            (PAUSE, &["/agnhost", "pause"], &[]),
        ],
    ),
    ("gap-sender", &[(GAP_SENDER, &["/gap-sender"], &[])]),
];

/// The archives of the tests' images: each made once for every build of its program, beside it.
pub(super) fn archives(binaries: &Path) -> Result<Vec<PathBuf>, ClusterError> {
    let archives = PROGRAMS.iter().map(|(name, images)| {
        let (program, archive) = (binaries.join(name), binaries.join(format!("{name}.tar")));
        let modified = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        if modified(&archive) <= modified(&program) {
            // Others may be at it at the same time, and each puts a whole archive in its place.
            let part = binaries.join(format!("{name}.tar.{}", std::process::id()));
            write_archive(name, &program, images, &part)?;
            std::fs::rename(&part, &archive)
                .map_err(ClusterError::io(format!("write {}", archive.display())))?;
        }
        Ok(archive)
    });
    archives.collect()
}

/// Writes an archive, as `docker save` does, of images around one program.
fn write_archive(
    name: &str,
    program: &Path,
    images: &[Image],
    archive: &Path,
) -> Result<(), ClusterError> {
    let failed = || ClusterError::io(format!("write {}", archive.display()));
    let program =
        std::fs::read(program).map_err(ClusterError::io(format!("read {}", program.display())))?;
    let mut layer = Vec::with_capacity(program.len() + 4 * BLOCK);
    member(&mut layer, name, 0o755, &program).map_err(failed())?;
    // Where exec probes and shells of a person look.
    member(&mut layer, "tmp/.keep", 0o644, b"").map_err(failed())?;
    end(&mut layer).map_err(failed())?;
    let digest = hex(&Sha256::digest(&layer));

    let file = File::create(archive).map_err(failed())?;
    let mut file = BufWriter::new(file);
    let mut manifest = Vec::new();
    for (number, (image, entrypoint, arguments)) in images.iter().enumerate() {
        let described = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "Cmd": arguments, "Env": ["PATH=/"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "history": [{}],
        });
        let config = format!("config-{number}.json");
        member(&mut file, &config, 0o644, described.to_string().as_bytes()).map_err(failed())?;
        manifest.push(json!({"Config": config, "RepoTags": [image], "Layers": ["layer.tar"]}));
    }
    let manifest = json!(manifest).to_string();
    member(&mut file, "manifest.json", 0o644, manifest.as_bytes()).map_err(failed())?;
    member(&mut file, "layer.tar", 0o644, &layer).map_err(failed())?;
    end(&mut file).map_err(failed())?;
    file.flush().map_err(failed())
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// One file of a tar archive, owned by root, from no particular time.
fn member(out: &mut impl Write, name: &str, mode: u32, content: &[u8]) -> std::io::Result<()> {
    let mut header = [0_u8; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    // The checksum is taken with blanks in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&header)?;
    out.write_all(content)?;
    out.write_all(&[0; BLOCK][..content.len().next_multiple_of(BLOCK) - content.len()])
}

fn end(out: &mut impl Write) -> std::io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
