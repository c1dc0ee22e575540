//! From bytes to text: unpacks what is packed, by its first bytes.

use std::io::{Cursor, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;

/// The largest text that is read.
const MOST_BYTES: u64 = 1 << 30;

/// The text of a file that may be packed with gzip or bzip2, and may be a tar with one member.
pub fn text(reader: impl Read) -> Result<String, String> {
    let bytes = all(reader)?;
    let bytes = match bytes.as_slice() {
        [0x1F, 0x8B, ..] => all(MultiGzDecoder::new(Cursor::new(bytes)))?,
        [b'B', b'Z', b'h', ..] => all(MultiBzDecoder::new(Cursor::new(bytes)))?,
        _ => bytes,
    };
    let bytes = if bytes.get(257..262) == Some(b"ustar") { only_member(&bytes)? } else { bytes };
    is_text(&bytes)?;
    // A byte order mark is not part of the first name, and logs may hold bytes of any encoding in their paths.
    let mut text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Text has no zero bytes; as other programs do, we look at the beginning only.
fn is_text(bytes: &[u8]) -> Result<(), String> {
    let why = match bytes {
        [b'P', b'K', 3, 4, ..] => "it is a zip archive: unpack it",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "it is packed with zstd: unpack it, or pack it with gzip or bzip2",
        [0xFD, b'7', b'z', b'X', b'Z', ..] => {
            "it is packed with xz: unpack it, or pack it with gzip or bzip2"
        }
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "it is UTF-16: save it as UTF-8",
        _ if bytes.iter().take(8_192).any(|&byte| byte == 0) => {
            "it is not text but binary; supported are text, and text in gzip, bzip2 or tar"
        }
        _ => return Ok(()),
    };
    Err(why.to_string())
}

fn all(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("it is larger than 1 GiB: cut it, or bin it into counts".to_string());
    }
    Ok(bytes)
}

fn only_member(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let broken = |error: std::io::Error| format!("the tar archive cannot be read: {error}");
    let mut archive = tar::Archive::new(bytes);
    let mut found: Option<Vec<u8>> = None;
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if entry.header().entry_type().is_file() {
            if found.is_some() {
                return Err("the tar archive has several files: unpack it and name one of them".to_string());
            }
            found = Some(all(entry)?);
        }
    }
    found.ok_or_else(|| "the tar archive has no file in it".to_string())
}
