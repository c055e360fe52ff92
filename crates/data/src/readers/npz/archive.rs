//! Arrays out of `.npz` archives and `.npy` files.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use zip::CompressionMethod;

use super::names::Role;
use crate::error::DataError;
use crate::limits;
use crate::paths::file_name;
use crate::readers::archive::member_name;
use crate::readers::npy::{self, NpyArray};

/// Arrays that are not read are listed up to this number.
const LISTED: usize = 20;

/// An array and its name, without `.npy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its name in the archive, without `.npy`.
    pub name: String,
    /// The array.
    pub array: NpyArray,
    pub(super) role: Role,
}

/// The arrays of a source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Inputs and labels.
    pub arrays: Vec<Named>,
    /// The others: name, shape and type.
    pub others: Vec<String>,
}

impl Found {
    /// Adds the arrays of an archive that have a role by their names.
    pub(super) fn archive(
        &mut self,
        bytes: &[u8],
        role: &dyn Fn(&str) -> Option<Role>,
        file: &Path,
    ) -> Result<(), DataError> {
        let broken = |error: zip::result::ZipError| {
            DataError::corrupt(file, format!("is not a whole .npz archive ({error})"))
        };
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
        let could_hold = (bytes.len() as u64)
            .saturating_mul(limits::MAX_DEFLATE_RATIO)
            .min(limits::MAX_DECODED_BYTES);
        let mut total = 0u64;
        for index in 0..archive.len() {
            let raw = archive.by_index_raw(index).map_err(broken)?;
            let path = PathBuf::from(&*raw.name().map_err(broken)?);
            let name = file_name(&path);
            let Some(name) = name.strip_suffix(".npy") else {
                continue;
            };
            let path = member_name(file, &path);
            let role = role(name);
            if role.is_some() {
                expect_readable(raw.compression(), raw.encrypted(), &path)?;
            }
            drop(raw);
            let Some(role) = role else {
                if self.others.len() < LISTED {
                    let start = archive.by_index(index).ok().and_then(|member| {
                        let mut start = Vec::new();
                        member.take(npy::MAX_START).read_to_end(&mut start).ok()?;
                        npy::described(&start, &path)
                    });
                    self.others.push(listed(name, start));
                }
                continue;
            };
            let mut member = archive.by_index(index).map_err(broken)?;
            total = total.saturating_add(member.size());
            limits::grant(&path, "the arrays", u128::from(total), could_hold)?;
            let promised = member.size();
            let content = limits::take(&path, "the array", &mut member, promised)?;
            limits::expect_end(&path, &mut member)?;
            self.arrays.push(Named {
                name: name.to_owned(),
                array: npy::parse(&content, &path)?,
                role,
            });
        }
        Ok(())
    }

    /// Adds the array of an `.npy` file, if it has a role by its name.
    pub(super) fn file(
        &mut self,
        file: &Path,
        role: &dyn Fn(&str) -> Option<Role>,
    ) -> Result<(), DataError> {
        let name = file_name(file);
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let role = role(&name);
        if let Some(role) = role {
            let array = npy::parse(&limits::read_file(file)?, file)?;
            self.arrays.push(Named { name, array, role });
        } else if self.others.len() < LISTED {
            let (opened, _) = limits::open(file)?;
            let mut start = Vec::new();
            let read = opened.take(npy::MAX_START).read_to_end(&mut start);
            read.map_err(|source| DataError::io(file, "read", source))?;
            self.others
                .push(listed(&name, npy::described(&start, file)));
        }
        Ok(())
    }
}

fn listed(name: &str, described: Option<String>) -> String {
    let name: String = name.chars().take(80).collect();
    match described {
        Some(described) => format!("{name} {described}"),
        None => name,
    }
}

/// Refuses what zip files may be packed with and these readers do not unpack.
fn expect_readable(
    method: CompressionMethod,
    encrypted: bool,
    member: &Path,
) -> Result<(), DataError> {
    let remedy = "save it with np.savez or np.savez_compressed";
    if encrypted {
        return Err(DataError::malformed(
            member,
            "is encrypted, which is not read",
            remedy,
        ));
    }
    let name = match method {
        CompressionMethod::STORE | CompressionMethod::DEFLATE => return Ok(()),
        CompressionMethod::BZIP2 => "bzip2".to_owned(),
        CompressionMethod::LZMA => "LZMA".to_owned(),
        CompressionMethod::XZ => "xz".to_owned(),
        CompressionMethod::ZSTD | CompressionMethod::ZSTD_DEPRECATED => "Zstandard".to_owned(),
        CompressionMethod::DEFLATE64 => "Deflate64".to_owned(),
        other => other.to_string(),
    };
    Err(DataError::malformed(
        member,
        format!("is packed by {name}, which is not read in an .npz archive"),
        remedy,
    ))
}
