//! A folder that others may write in, too, at any moment: its files are opened as what they are. No link is followed, no pipe
//! is waited for, and nothing that stands there already is written into by mistake.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

/// An open folder: what is done in it is done there, also when its path leads elsewhere meanwhile.
#[derive(Debug)]
pub(super) struct Exchange(OwnedFd);

/// What tells one state of a file from another without reading it. Whoever writes moves `changed`, and cannot set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Of the content: seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    changed: (i64, i64),
}

impl Exchange {
    /// Opens the folder that the configuration names; it may be a link.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// A folder within, made where there is none.
    pub(super) fn within(&self, name: &str) -> Result<Self> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// The names of everything in it that is UTF-8.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Whether anything of that name stands there.
    pub(super) fn holds(&self, name: &str) -> Result<bool> {
        Ok(self.stat(name)?.is_some())
    }

    /// How a file stands; none: there is none, or it is no plain file.
    pub(super) fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        let plain = self.stat(name)?.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        Ok(plain.map(|stat| Stamp {
            inode: stat.st_ino,
            size: stat.st_size.cast_unsigned(),
            modified: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
        }))
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a file says, so many bytes at most.
    pub(super) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.plain(name, OFlags::RDONLY)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What a file of our own says; none: there is none.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let mut text = String::new();
        match self.plain(name, OFlags::RDONLY) {
            Ok(mut file) => file.read_to_string(&mut text)?,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(text))
    }

    /// Adds to the end of a file, made where there is none; on disk when it returns.
    pub(super) fn append(&self, name: &str, text: &str) -> Result<()> {
        let mut file = self.plain(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Written whole or not at all; on disk when it returns.
    pub(super) fn put(&self, name: &str, text: &str) -> Result<()> {
        let fresh = format!("{name}.new");
        // Left by a process that was stopped, or put there by somebody: ours is a new one.
        self.forget(&fresh)?;
        let mut file = self.plain(&fresh, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        self.rename(&fresh, self, name)
    }

    /// Moves a file, into another folder too.
    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> Result<()> {
        Ok(rustix::fs::renameat(&self.0, name, &to.0, new)?)
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Removes a file, where there is one.
    pub(super) fn forget(&self, name: &str) -> Result<()> {
        match self.remove(name) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// A file that is one. A pipe is opened without waiting for its other end, and then refused.
    pub(super) fn plain(&self, name: &str, how: OFlags) -> Result<File> {
        let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666)).map_err(|error| match error {
            rustix::io::Errno::LOOP | rustix::io::Errno::NXIO => no_file(),
            other => other.into(),
        })?;
        let file = File::from(opened);
        if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
    }

    /// The names in it last as their content does.
    pub(super) fn sync(&self) -> Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

fn no_file() -> Error {
    Error::new(ErrorKind::InvalidInput, "a link, a pipe or a folder stands where a file should be")
}

/// Some machines count them without a sign.
fn nanos(of: impl TryInto<i64>) -> i64 {
    of.try_into().unwrap_or_default()
}
