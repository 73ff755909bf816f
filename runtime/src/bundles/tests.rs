//! Tars as others may make them, and what is taken of them. Layouts with something wrong in them are in `tests/bundles_travel.rs`.

use tar::{Builder, EntryType, Header};

use super::oci::BLOBS;
use super::{Files, archive};
use crate::error::Code;
use crate::ids::Digest;
use crate::limits;

/// A header as the file format has it, so that it may say what no library would write.
fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

fn tar(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        builder.append(&header(name.as_bytes(), *kind, bytes.len() as u64), *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn refused(tar: &[u8]) -> (Code, String) {
    let e = archive::entries(tar).unwrap_err();
    (e.code, e.message)
}

#[test]
fn a_plain_tar_is_read_with_and_without_its_directories() {
    let blob = format!("{BLOBS}{}", Digest::of(b"x"));
    let expected = Files::from([("oci-layout".to_owned(), b"{}".to_vec()), (blob.clone(), b"x".to_vec())]);
    let dotted = format!("./{blob}");
    for entries in [
        vec![("oci-layout", EntryType::Regular, &b"{}"[..]), (&blob, EntryType::Regular, b"x")],
        vec![
            ("./", EntryType::Directory, b""),
            ("./blobs/", EntryType::Directory, b""),
            ("./blobs/sha256/", EntryType::Directory, b""),
            (&dotted, EntryType::Regular, b"x"),
            ("./oci-layout", EntryType::Regular, b"{}"),
        ],
    ] {
        assert_eq!(archive::entries(tar(&entries).as_slice()).unwrap(), expected);
    }
}

#[test]
fn what_is_no_plain_file_of_a_bundle_is_refused_by_name() {
    let upper = format!("{BLOBS}{}", Digest::of(b"x").to_string().to_uppercase());
    for (name, kind, says) in [
        ("/etc/passwd", EntryType::Regular, "absolute"),
        ("/index.json", EntryType::Regular, "absolute"),
        ("../index.json", EntryType::Regular, "leads out"),
        ("blobs/../index.json", EntryType::Regular, "leads out"),
        ("blobs/sha256/../../../x", EntryType::Regular, "leads out"),
        ("blobs\\..\\x", EntryType::Regular, "leads out"),
        ("././index.json", EntryType::Regular, "no file of a bundle"),
        ("index.json/", EntryType::Regular, "no file of a bundle"),
        ("INDEX.JSON", EntryType::Regular, "no file of a bundle"),
        ("readme.txt", EntryType::Regular, "no file of a bundle"),
        ("blobs/sha512/aa", EntryType::Regular, "no file of a bundle"),
        ("blobs/sha256/aa", EntryType::Regular, "no file of a bundle"),
        (&upper, EntryType::Regular, "no file of a bundle"),
        ("index.json", EntryType::Symlink, "is a link"),
        ("index.json", EntryType::Link, "is a link"),
        ("index.json", EntryType::GNUSparse, "is sparse"),
        ("index.json", EntryType::XHeader, "extension"),
        ("index.json", EntryType::XGlobalHeader, "extension"),
        ("index.json", EntryType::GNULongName, "extension"),
        ("index.json", EntryType::GNULongLink, "extension"),
        ("index.json", EntryType::Char, "neither"),
        ("index.json", EntryType::Block, "neither"),
        ("index.json", EntryType::Fifo, "neither"),
        ("index.json", EntryType::Continuous, "neither"),
        ("index.json", EntryType::new(b'Q'), "neither"),
        ("etc/", EntryType::Directory, "a directory that"),
        ("../", EntryType::Directory, "a directory that"),
    ] {
        let (code, message) = refused(&tar(&[(name, kind, b"")]));
        assert!(code == Code::BundleBroken && message.contains(says), "{name} {kind:?}: {message}");
    }
}

#[test]
fn one_name_is_one_file_and_nothing_stands_behind_the_end() {
    let twice = tar(&[("index.json", EntryType::Regular, b"a"), ("./index.json", EntryType::Regular, b"b")]);
    assert!(refused(&twice).1.contains("twice"));

    let whole = tar(&[("index.json", EntryType::Regular, b"a")]);
    let mut behind = whole.clone();
    behind.extend(tar(&[("index.json", EntryType::Regular, b"b")]));
    assert!(refused(&behind).1.contains("behind its end"));
    let mut padded = whole.clone();
    padded.extend([0; 10_240]);
    assert_eq!(archive::entries(padded.as_slice()).unwrap(), archive::entries(whole.as_slice()).unwrap());

    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    assert!(refused(&flipped).1.contains("checksum"));
    let long = tar(&[("index.json", EntryType::Regular, &[7; 2_000])]);
    assert!(refused(&long[..1_024]).1.contains("ends within it"));
    assert!(refused(b"no tar at all").1.contains("does not read as a tar"));
}

#[test]
fn what_a_header_promises_is_bounded() {
    let huge = header(b"index.json", EntryType::Regular, limits::BUNDLE_BYTES_MAX + 1);
    assert_eq!(refused(huge.as_bytes()).0, Code::TooLarge);
    let overflow = header(b"index.json", EntryType::Regular, u64::MAX);
    assert!(matches!(refused(overflow.as_bytes()).0, Code::TooLarge | Code::BundleBroken));
    let many = vec![("blobs/", EntryType::Directory, &b""[..]); limits::BUNDLE_FILES_MAX + 1];
    assert_eq!(refused(&tar(&many)).0, Code::TooLarge);
}
