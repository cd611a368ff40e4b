//! Embeds the real Jaeger UI.
//!
//! Its files are part of the package `otlp-embedded`, which `Cargo.lock` pins with a checksum and which is never
//! compiled. `JAEGER_UI_DIR` names a built UI (a folder with `index.html` and `static/`) to be used in its place.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

const PACKAGE: &str = "otlp-embedded";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=JAEGER_UI_DIR");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let ui = match env::var_os("JAEGER_UI_DIR") {
        Some(dir) if !dir.is_empty() => {
            println!("cargo::rerun-if-changed={}", Path::new(&dir).display());
            let folder = PathBuf::from(dir);
            if !folder.join("index.html").is_file() || !folder.join("static").is_dir() {
                let folder = folder.display();
                return Err(
                    format!("JAEGER_UI_DIR={folder}: no built Jaeger UI (index.html, static/)").into()
                );
            }
            Ui { source: "JAEGER_UI_DIR".to_owned(), folder, license: None }
        }
        _ => packaged()?,
    };
    embed(&ui, &out)
}

struct Ui {
    source: String,
    /// Holds `index.html` and `static/`.
    folder: PathBuf,
    license: Option<PathBuf>,
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set; build with cargo"))
}

/// Asks cargo where it keeps the package.
fn packaged() -> Result<Ui, Box<dyn Error>> {
    let output = Command::new(variable("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform"])
        .arg(variable("TARGET")?)
        .arg("--manifest-path")
        .arg(Path::new(&variable("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "cannot find the package {PACKAGE}, which carries the Jaeger UI: cargo metadata failed:\n{said}\n\
             Offline, run `cargo fetch --locked` first; or set JAEGER_UI_DIR to a folder with a built Jaeger UI."
        )
        .into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    if let Some(root) = metadata["workspace_root"].as_str() {
        println!("cargo::rerun-if-changed={}", Path::new(root).join("Cargo.lock").display());
    }
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let package = packages
        .iter()
        .find(|package| package["name"] == PACKAGE)
        .ok_or_else(|| format!("Cargo.lock does not hold {PACKAGE}"))?;
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let root = manifest.parent().ok_or("a manifest without a folder")?.join("jaeger-ui");
    let source = format!("{PACKAGE} {}", package["version"].as_str().unwrap_or_default());
    Ok(Ui { source, license: Some(root.join("LICENSE")), folder: root.join("build") })
}

/// Writes `ui_assets.rs` and the compressed files that it includes.
fn embed(ui: &Ui, out: &Path) -> Result<(), Box<dyn Error>> {
    let index = read(&ui.folder.join("index.html"))?;
    fs::write(out.join("index.html"), index)?;
    let mut list = format!(
        "// The Jaeger UI of {}.\n\
         pub(super) const INDEX: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/index.html\"));\n\
         pub(super) const ASSETS: &[Asset] = &[\n",
        ui.source
    );
    let mut files = Vec::new();
    for entry in fs::read_dir(ui.folder.join("static"))
        .map_err(|error| format!("{}: {error}", ui.folder.join("static").display()))?
    {
        files.push(entry?.path());
    }
    files.extend(ui.license.clone());
    files.sort();
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        // Browsers that know modules never load the legacy bundle, and the UI needs one that does.
        if name.contains("-legacy-") || !file.is_file() {
            continue;
        }
        let packed = format!("ui-{name}.gz");
        compress(&file, &out.join(&packed))?;
        writeln!(
            list,
            "    Asset {{ name: {name:?}, gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{packed}\")) }},"
        )?;
    }
    list.push_str("];\n");
    fs::write(out.join("ui_assets.rs"), list)?;
    Ok(())
}

fn compress(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&read(from)?)?;
    fs::write(to, encoder.finish()?)?;
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
