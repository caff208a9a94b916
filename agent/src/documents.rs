//! What is generated of the documents, held to what is so.

use std::path::Path;

const BEGIN: &str = "<!-- From here on `make goldens` writes. -->\n";
const END: &str = "<!-- To here. -->\n";

/// The file `docs/NAME`.
pub(crate) fn read(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails unless the marked part of `docs/NAME` is this. `NETPOL_UPDATE_GOLDENS=1` writes it instead, for a person to read.
#[track_caller]
pub(crate) fn hold(name: &str, generated: &str) {
    let text = read(name);
    let (before, rest) = text.split_once(BEGIN).expect("a mark at the beginning");
    let (found, after) = rest.split_once(END).expect("a mark at the end");
    let generated = format!("\n{generated}\n");
    if std::env::var_os("NETPOL_UPDATE_GOLDENS").is_some() {
        let text = [before, BEGIN, &generated, END, after].concat();
        std::fs::write(path(name), text).expect("written");
        return;
    }
    similar_asserts::assert_eq!(
        found,
        generated,
        "docs/{name} is out of date: `make goldens`"
    );
}

/// A text as a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}
