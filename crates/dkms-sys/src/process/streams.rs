//! The standard streams of a program: its ends, and the readers of ours.

use super::{CAPTURE_LIMIT, Listener, Stdin, Stream};
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

/// The program's ends of its streams.
pub(super) struct Streams {
    pub(super) input: OwnedFd,
    pub(super) out: OwnedFd,
    pub(super) err: OwnedFd,
}

impl Streams {
    pub(super) fn give_to(&self, command: &mut std::process::Command) -> std::io::Result<()> {
        command.stdin(Stdio::from(self.input.try_clone()?));
        command.stdout(Stdio::from(self.out.try_clone()?));
        command.stderr(Stdio::from(self.err.try_clone()?));
        Ok(())
    }
}

pub(super) fn stdin(stdin: Stdin) -> std::io::Result<OwnedFd> {
    Ok(match stdin {
        Stdin::Null => File::open("/dev/null").map_err(|e| with_name("/dev/null", &e))?.into(),
        Stdin::Stream(fd) => fd,
        Stdin::Inherit => std::io::stdin().as_fd().try_clone_to_owned()?,
        // A file in memory: the program may read it slowly, or only a part of it.
        Stdin::Bytes(bytes) => {
            use std::io::{Seek, Write};
            let fd = rustix::fs::memfd_create(c"dkms-stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
            let mut file = File::from(fd);
            file.write_all(&bytes)?;
            file.rewind()?;
            file.into()
        }
    })
}

/// Adds the path to an error of the same kind.
fn with_name(path: &str, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// Returns the child's end of a stream, and the reader of our end.
///
/// A confined program does not get our file itself, because it could truncate it, or could not open it
/// through `/dev/stdout`.
pub(super) fn output(stream: Stream, number: i32, confined: bool) -> std::io::Result<(OwnedFd, Reader)> {
    Ok(match stream {
        Stream::Null => {
            let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
            (null.map_err(|e| with_name("/dev/null", &e))?.into(), Reader::closed())
        }
        Stream::Inherit if number == 1 => (std::io::stdout().as_fd().try_clone_to_owned()?, Reader::closed()),
        Stream::Inherit => (std::io::stderr().as_fd().try_clone_to_owned()?, Reader::closed()),
        Stream::File(mut file) if confined => piped(Some(Box::new(move |chunk| {
            // A full disk is detected when dkms itself writes the next line.
            let _ = std::io::Write::write_all(&mut file, chunk);
        })))?,
        Stream::File(file) => (file.into(), Reader::closed()),
        Stream::Capture | Stream::ToStdout => piped(None)?,
        Stream::Each(function) => piped(Some(function))?,
    })
}

fn piped(function: Option<Listener>) -> std::io::Result<(OwnedFd, Reader)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((theirs, Reader { pipe: Some(File::from(ours)), kept: Vec::new(), cut: false, function }))
}

pub(super) struct Reader {
    pub(super) pipe: Option<File>,
    pub(super) kept: Vec<u8>,
    pub(super) cut: bool,
    pub(super) function: Option<Listener>,
}

impl Reader {
    pub(super) fn closed() -> Self {
        Reader { pipe: None, kept: Vec::new(), cut: false, function: None }
    }

    /// Reads the available bytes. To be called only if there are any, or if the stream has ended.
    pub(super) fn take(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = [0u8; 64 * 1024];
        match pipe.read(&mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(size) => {
                let chunk = chunk.get(..size).unwrap_or_default();
                match &mut self.function {
                    Some(function) => function(chunk),
                    None => {
                        let room = CAPTURE_LIMIT.saturating_sub(self.kept.len());
                        self.kept.extend(chunk.iter().take(room));
                        self.cut |= size > room;
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.pipe = None,
        }
    }
}
