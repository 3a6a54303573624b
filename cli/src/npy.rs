//! Tensor files as NumPy writes them: header by a library, data as a stream of bytes.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use npyz::{DType, NpyHeader, Order, TypeStr, WriteOptions, WriterBuilder};
use thiserror::Error;

use crate::output::Output;

/// NumPy's own bound on a header (`max_header_size`), against files that are none.
const MAX_HEADER_BYTES: u32 = 10_000;
/// Brackets within brackets in a header: a tensor's has 2, one of records with subarrays 4. The parser goes back at each
/// of them, so that what it takes grows with a power of their number.
const MAX_NESTING: usize = 5;

/// A file that can't be read or written as a tensor.
#[derive(Debug, Error)]
pub enum NpyError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: not a .npy file ({reason}); write it with numpy.save", path.display())]
    Foreign { path: PathBuf, reason: String },
    #[error("{}: elements are {found}, expected {expected}; convert the file or choose other options", path.display())]
    Type {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error("{}: in Fortran order; save numpy.ascontiguousarray of it", path.display())]
    FortranOrder { path: PathBuf },
    #[error("{}: shape {shape:?} has more elements than 2^64 bytes hold; save it in parts", path.display())]
    TooLong { path: PathBuf, shape: Vec<u64> },
    #[error("{}: shape {found:?}, expected {expected:?}; give the mask of this tensor", path.display())]
    Shape {
        path: PathBuf,
        found: Vec<u64>,
        expected: Vec<u64>,
    },
    #[error("{}: truncated: shape {shape:?} takes {expected} bytes of data, {found} are there; save or copy it again", path.display())]
    Truncated {
        path: PathBuf,
        shape: Vec<u64>,
        expected: u64,
        found: u64,
    },
    #[error("{}: {surplus} bytes after the data of shape {shape:?}; not a .npy file of one array; save one array a file", path.display())]
    Surplus {
        path: PathBuf,
        shape: Vec<u64>,
        surplus: u64,
    },
}

impl NpyError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// A tensor file open for reading, past its header.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    /// Type string, such as `<f4`.
    pub descr: String,
    pub shape: Vec<u64>,
    pub elements: u64,
    read_bytes: u64,
    data_bytes: u64,
}

impl Reader {
    /// Opens a file and checks its header, and its length where it is a regular file.
    pub fn open(path: &Path) -> Result<Self, NpyError> {
        let file = File::open(path).map_err(|source| NpyError::io(path, source))?;
        let metadata = file.metadata().map_err(|source| NpyError::io(path, source))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let text = header_bytes(path, &mut file)?;
        let header = NpyHeader::from_reader(&text[..]).map_err(|error| NpyError::Foreign {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let shape = header.shape().to_vec();
        let too_long = || NpyError::TooLong {
            path: path.to_owned(),
            shape: shape.clone(),
        };
        let elements = product(&shape).ok_or_else(too_long)?;
        // Quoted where it is a plain type.
        let descr = header.dtype().descr().trim_matches('\'').to_owned();
        // Objects have no bytes of their own.
        let item_bytes = header.dtype().num_bytes().ok_or_else(|| NpyError::Type {
            path: path.to_owned(),
            found: descr.clone(),
            expected: "numbers".to_owned(),
        })?;
        let data_bytes = elements.checked_mul(item_bytes as u64).ok_or_else(too_long)?;
        if header.order() == Order::Fortran && shape.iter().filter(|&&n| n > 1).count() > 1 {
            return Err(NpyError::FortranOrder { path: path.to_owned() });
        }
        if metadata.is_file() {
            let found = metadata.len().saturating_sub(text.len() as u64);
            if found < data_bytes {
                return Err(NpyError::Truncated {
                    path: path.to_owned(),
                    shape,
                    expected: data_bytes,
                    found,
                });
            }
            if found > data_bytes {
                let surplus = found - data_bytes;
                return Err(NpyError::Surplus {
                    path: path.to_owned(),
                    shape,
                    surplus,
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            descr,
            shape,
            elements,
            read_bytes: 0,
            data_bytes,
        })
    }

    pub fn type_error(&self, expected: &str) -> NpyError {
        NpyError::Type {
            path: self.path.clone(),
            found: self.descr.clone(),
            expected: expected.to_owned(),
        }
    }

    /// Checks type and shape against what they have to be.
    pub fn expect(&self, descr: &str, shape: &[u64]) -> Result<(), NpyError> {
        if self.descr != descr {
            return Err(self.type_error(descr));
        }
        if self.shape != shape {
            return Err(NpyError::Shape {
                path: self.path.clone(),
                found: self.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        Ok(())
    }

    /// Fills the buffer with the next bytes of data.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<(), NpyError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.read_bytes += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(NpyError::Truncated {
                path: self.path.clone(),
                shape: self.shape.clone(),
                expected: self.data_bytes,
                found: self.read_bytes,
            }),
            Err(error) => Err(NpyError::io(&self.path, error)),
        }
    }
}

fn product(shape: &[u64]) -> Option<u64> {
    // A zero anywhere makes zero, however large the others.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n))
}

/// The bytes up to the data: magic, version, length, header text. Refuses what no NumPy writes before
/// it reaches the parser.
fn header_bytes(path: &Path, file: &mut impl Read) -> Result<Vec<u8>, NpyError> {
    let foreign = |reason: &str| NpyError::Foreign {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let mut read = |bytes: &mut [u8]| {
        file.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => foreign("it ends within the header"),
            _ => NpyError::io(path, error),
        })
    };
    let mut all = vec![0; 8];
    read(&mut all)?;
    if all[..6] != *b"\x93NUMPY" {
        return Err(foreign("it does not begin with \\x93NUMPY"));
    }
    let length_bytes = match all[6] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(foreign(&format!("format version {version} is unknown"))),
    };
    let mut length = [0; 4];
    read(&mut length[..length_bytes])?;
    all.extend(&length[..length_bytes]);
    let length = u32::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(foreign(&format!("its header claims {length} bytes")));
    }
    let start = all.len();
    all.resize(start + length as usize, 0);
    read(&mut all[start..])?;
    match nesting(&all[start..]) {
        None => Err(foreign("its header has escaped or tripled quotes")),
        Some(deepest) if deepest > MAX_NESTING => Err(foreign("its header is nested too deeply")),
        Some(_) => Ok(all),
    }
}

/// Brackets within brackets at most, outside of strings; None where a string might not end at its next quote.
fn nesting(header: &[u8]) -> Option<usize> {
    let is_tripled = |three: &[u8]| matches!(three, b"'''" | b"\"\"\"");
    if header.contains(&b'\\') || header.windows(3).any(is_tripled) {
        return None;
    }
    let (mut depth, mut deepest, mut quote) = (0usize, 0, None);
    for &byte in header {
        if let Some(open) = quote {
            quote = (open != byte).then_some(open);
            continue;
        }
        match byte {
            b'\'' | b'"' => quote = Some(byte),
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Some(deepest)
}

/// A tensor file in the making.
#[derive(Debug)]
pub struct Writer {
    file: Output,
}

impl Writer {
    /// Begins a file of that type string and shape.
    pub fn create(path: &Path, descr: &str, shape: &[u64]) -> Result<Self, NpyError> {
        let error = |source| NpyError::io(path, source);
        let mut file = Output::create(path).map_err(error)?;
        let type_str: TypeStr = descr
            .parse()
            .map_err(|_| error(io::Error::other(format!("no such type: {descr}"))))?;
        WriteOptions::new_header_only()
            .dtype(DType::new_scalar(type_str))
            .shape(shape)
            .writer(&mut file)
            .write_header_only()
            .map_err(error)?;
        Ok(Self { file })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NpyError> {
        self.file
            .write_all(bytes)
            .map_err(|source| NpyError::io(self.file.path(), source))
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<(), NpyError> {
        let path = self.file.path().to_owned();
        self.file.finish().map_err(|source| NpyError::io(&path, source))
    }
}
