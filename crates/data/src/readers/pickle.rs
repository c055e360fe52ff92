//! The pickles of CIFAR's Python version, read without running them.
//!
//! A pickle is a program for a stack machine that may call any Python function. Only the
//! instructions that occur in such files are followed (protocols 2 to 5, as Python 2 and 3 write
//! them), and only four functions are known: NumPy's `_reconstruct` and `dtype`, the class `ndarray`,
//! and `_codecs.encode`, by which Python 3 writes byte strings. Anything else is refused. Nothing is
//! copied on the way, so that memory stays proportional to the file.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::error::DataError;

/// Most values of a pickle: thirteen times those of CIFAR-100's training file (a label of either kind
/// and a file name for each of 50,000 images).
const MOST_VALUES: usize = 2_000_000;

/// A value; those within it are numbers of the machine's heap, strings are places in the file.
#[derive(Debug, Clone)]
enum Value {
    Nothing,
    Integer(i64),
    Text(Range<usize>),
    Bytes(Range<usize>),
    /// Bytes written as text, a character for each.
    Latin1(Range<usize>),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Dictionary(Vec<(usize, usize)>),
    Function(Function),
    /// NumPy's type of unsigned bytes.
    ByteType,
    /// An array, and its content once it is known: shape and bytes.
    Array(Option<(Vec<usize>, usize)>),
}

/// What a pickle may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Encode,
    Reconstruct,
    Array,
    Type,
}

impl Function {
    fn of(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("_codecs", "encode") => Some(Self::Encode),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Some(Self::Reconstruct)
            }
            ("numpy", "ndarray") => Some(Self::Array),
            ("numpy", "dtype") => Some(Self::Type),
            _ => None,
        }
    }
}

/// What a pickle holds: a dictionary with names as keys.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    bytes: &'a [u8],
    file: &'a Path,
    heap: Vec<Value>,
    root: Vec<(usize, usize)>,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle; `file` is named in errors.
    pub(crate) fn parse(bytes: &'a [u8], file: &'a Path) -> Result<Self, DataError> {
        let mut machine = Machine {
            bytes,
            at: 0,
            heap: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let root = machine
            .run()
            .map_err(|what| DataError::corrupt(file, format!("byte {}: {what}", machine.at)))?;
        let Value::Dictionary(root) = machine.heap[root].clone() else {
            return Err(DataError::corrupt(file, "holds no dictionary"));
        };
        Ok(Self {
            bytes,
            file,
            heap: machine.heap,
            root,
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let key = |at: usize| self.string(at).is_some_and(|key| key == name.as_bytes());
        let found = self.root.iter().find(|(at, _)| key(*at));
        found.map(|(_, value)| &self.heap[*value])
    }

    /// The bytes of a string of any kind.
    fn string(&self, at: usize) -> Option<Vec<u8>> {
        match &self.heap[at] {
            Value::Text(place) | Value::Bytes(place) => Some(self.bytes[place.clone()].to_vec()),
            Value::Latin1(place) => {
                let text = std::str::from_utf8(&self.bytes[place.clone()]).ok()?;
                text.chars()
                    .map(|c| u8::try_from(u32::from(c)).ok())
                    .collect()
            }
            _ => None,
        }
    }

    /// The list of integers of this name, if there is one.
    pub(crate) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let Value::List(items) = self.get(name)? else {
            return None;
        };
        let integer = |at: &usize| match self.heap[*at] {
            Value::Integer(number) => Some(number),
            _ => None,
        };
        items.iter().map(integer).collect()
    }

    /// The list of texts of this name, if there is one.
    pub(crate) fn names(&self, name: &str) -> Option<Vec<String>> {
        let Value::List(items) = self.get(name)? else {
            return None;
        };
        let name = |at: &usize| Some(String::from_utf8_lossy(&self.string(*at)?).into_owned());
        items.iter().map(name).collect()
    }

    /// The array of unsigned bytes of this name, in rows of `width`.
    pub(crate) fn rows(&self, name: &str, width: usize) -> Result<Vec<u8>, DataError> {
        let wrong = |what: String| DataError::corrupt(self.file, what);
        let Some(Value::Array(Some((shape, bytes)))) = self.get(name) else {
            return Err(wrong(format!("holds no array '{name}'")));
        };
        let values = self
            .string(*bytes)
            .ok_or_else(|| wrong(format!("'{name}' holds no bytes")))?;
        let promised = shape
            .iter()
            .try_fold(1usize, |product, &side| product.checked_mul(side));
        if shape.len() != 2 || shape[1] != width || promised != Some(values.len()) {
            return Err(wrong(format!(
                "'{name}' is of shape {shape:?} with {} bytes, not rows of {width}",
                values.len()
            )));
        }
        Ok(values)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    heap: Vec<Value>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
}

type Step<T> = Result<T, String>;

impl Machine<'_> {
    fn take(&mut self, length: usize) -> Step<Range<usize>> {
        let end = self
            .at
            .checked_add(length)
            .filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("the file ends in the middle of a value")?;
        let place = self.at..end;
        self.at = end;
        Ok(place)
    }

    fn skip(&mut self, length: usize) -> Step<()> {
        self.take(length).map(|_| ())
    }

    /// A little-endian number of up to four bytes.
    fn number(&mut self, length: usize) -> Step<u32> {
        let place = self.take(length)?;
        let bytes = self.bytes[place].iter().rev();
        Ok(bytes.fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn counted(&mut self, length: usize) -> Step<Range<usize>> {
        let length = self.number(length)? as usize;
        self.take(length)
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take(128).position(|&byte| byte == b'\n');
        let place = self.take(length.ok_or("a name has no end")?)?;
        self.at += 1;
        Ok(String::from_utf8_lossy(&self.bytes[place]).into_owned())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.heap.len());
        self.heap.push(value);
    }

    fn pop(&mut self) -> Step<usize> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err("it takes a value that is not there".into());
        }
        Ok(self.stack.pop().expect("it is above the mark"))
    }

    fn pop_to_mark(&mut self) -> Step<Vec<usize>> {
        let mark = self
            .marks
            .pop()
            .ok_or("it goes back to a mark that is not there")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Step<usize> {
        let top = self.stack.last().copied();
        top.ok_or_else(|| "it takes a value that is not there".into())
    }

    fn text(&self, at: usize) -> Option<&str> {
        match &self.heap[at] {
            Value::Text(place) | Value::Bytes(place) => {
                std::str::from_utf8(&self.bytes[place.clone()]).ok()
            }
            _ => None,
        }
    }

    /// Runs to the end; gives the value that is left.
    fn run(&mut self) -> Step<usize> {
        loop {
            if self.heap.len() > MOST_VALUES {
                return Err("it holds more values than any CIFAR file".into());
            }
            let place = self.take(1)?;
            match self.bytes[place][0] {
                // PROTO, FRAME
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Value::Nothing),
                0x88 => self.push(Value::Integer(1)),
                0x89 => self.push(Value::Integer(0)),
                b'J' => {
                    let number = self.number(4)?.cast_signed();
                    self.push(Value::Integer(number.into()));
                }
                b'K' => self.integer(1)?,
                b'M' => self.integer(2)?,
                b'U' | b'C' => self.string(1, Value::Bytes)?,
                b'T' | b'B' => self.string(4, Value::Bytes)?,
                0x8c => self.string(1, Value::Text)?,
                b'X' => self.string(4, Value::Text)?,
                b']' => self.push(Value::List(Vec::new())),
                b'}' => self.push(Value::Dictionary(Vec::new())),
                b')' => self.push(Value::Tuple(Vec::new())),
                op @ (0x85..=0x87) => {
                    let mut items = Vec::new();
                    for _ in 0x84..op {
                        items.insert(0, self.pop()?);
                    }
                    self.push(Value::Tuple(items));
                }
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set(&items)?;
                }
                b'q' => self.remember(1)?,
                b'r' => self.remember(4)?,
                0x94 => {
                    let top = self.top()?;
                    self.memo.insert(self.memo.len() as u32, top);
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.function(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |at| self.text(at).unwrap_or_default().to_owned();
                    self.function(&text(module), &text(name))?;
                }
                b'R' => self.call()?,
                b'b' => self.build()?,
                other => return Err(format!("instruction {other:#04x} occurs in no CIFAR file")),
            }
        }
    }

    fn integer(&mut self, length: usize) -> Step<()> {
        let number = self.number(length)?;
        self.push(Value::Integer(number.into()));
        Ok(())
    }

    fn string(&mut self, length: usize, kind: fn(Range<usize>) -> Value) -> Step<()> {
        let place = self.counted(length)?;
        self.push(kind(place));
        Ok(())
    }

    fn append(&mut self, items: Vec<usize>) -> Step<()> {
        let top = self.top()?;
        match &mut self.heap[top] {
            Value::List(list) => list.extend(items),
            _ => return Err("it appends to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[usize]) -> Step<()> {
        let top = self.top()?;
        match (&mut self.heap[top], items.len().is_multiple_of(2)) {
            (Value::Dictionary(entries), true) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err("it sets what is no entry of a dictionary".into()),
        }
    }

    fn remember(&mut self, length: usize) -> Step<()> {
        let (name, top) = (self.number(length)?, self.top()?);
        self.memo.insert(name, top);
        Ok(())
    }

    fn recall(&mut self, length: usize) -> Step<()> {
        let name = self.number(length)?;
        let value = self
            .memo
            .get(&name)
            .ok_or("it recalls what was not remembered")?;
        self.stack.push(*value);
        Ok(())
    }

    fn function(&mut self, module: &str, name: &str) -> Step<()> {
        let function = Function::of(module, name).ok_or_else(|| {
            format!(
                "it asks for Python's '{module}.{name}', which no CIFAR file needs; nothing was run"
            )
        })?;
        self.push(Value::Function(function));
        Ok(())
    }

    fn call(&mut self) -> Step<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Function(function)) =
            (&self.heap[arguments], &self.heap[function])
        else {
            return Err("it calls what is no function".into());
        };
        let made = match (function, &arguments[..]) {
            (Function::Encode, &[text, _]) => match &self.heap[text] {
                Value::Text(place) => Value::Latin1(place.clone()),
                _ => return Err("it encodes what is no text".into()),
            },
            (Function::Reconstruct, _) => Value::Array(None),
            (Function::Type, [name, ..]) if self.text(*name) == Some("u1") => Value::ByteType,
            (Function::Type, _) => return Err("its array is not of unsigned bytes".into()),
            _ => return Err("it calls a function in a way that no CIFAR file does".into()),
        };
        self.push(made);
        Ok(())
    }

    /// Gives an array its content: (version, shape, type, whether columns come first, bytes).
    fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        let top = self.top()?;
        let content = match (&self.heap[top], &self.heap[state]) {
            (Value::ByteType, Value::Tuple(_)) => return Ok(()),
            (Value::Array(None), Value::Tuple(items)) => {
                let &[_, shape, kind, columns, bytes] = &items[..] else {
                    return Err("its array has no content".into());
                };
                let (Value::Tuple(sides), Value::ByteType, Value::Integer(0)) =
                    (&self.heap[shape], &self.heap[kind], &self.heap[columns])
                else {
                    return Err("its array is not of unsigned bytes, row by row".into());
                };
                let side = |at: &usize| match self.heap[*at] {
                    Value::Integer(side) => usize::try_from(side).ok(),
                    _ => None,
                };
                let sides: Option<Vec<usize>> = sides.iter().map(side).collect();
                (sides.ok_or("its array has no shape")?, bytes)
            }
            _ => return Err("it builds what is no array".into()),
        };
        self.heap[top] = Value::Array(Some(content));
        Ok(())
    }
}
