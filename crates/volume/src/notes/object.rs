//! Notes below a prefix of object storage, through conditional requests.

use std::path::PathBuf;
use std::time::Duration;

use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, AttributeValue, Attributes, Error, GetOptions, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};

use super::{Kind, LARGEST_NOTE, Note, Store, Version};
use crate::files::object::{ObjectFiles, collect};
use crate::files::{Address, Files, unlikely};
use crate::{Place, VolumeError};

/// Where an object says which call wrote it: `x-amz-meta-deep3mcall`, or as the store has it. Azure takes letters and digits only.
const CALL: &str = "deep3mcall";

/// How often a request is made again where the store says that another is just being made.
const TURNS: u32 = 50;

#[derive(Debug)]
pub(super) struct Prefix {
    files: ObjectFiles,
}

impl Prefix {
    pub(super) fn open(address: &Address) -> Result<Self, VolumeError> {
        let files = ObjectFiles::open(address)?;
        files.to_write("write to")?;
        Ok(Self { files })
    }

    /// Puts a note if the condition holds.
    fn put_if(&self, name: &str, mode: &PutMode, bytes: &[u8]) -> Result<bool, VolumeError> {
        let path = self.files.path(name)?;
        let call = AttributeValue::from(unlikely());
        for turn in 0..TURNS {
            let options = PutOptions {
                mode: mode.clone(),
                attributes: Attributes::from_iter([(Attribute::Metadata(CALL.into()), call.clone())]),
                ..PutOptions::default()
            };
            let bucket = self.files.bucket();
            let put = async || bucket.store().put_opts(&path, PutPayload::from(bytes.to_vec()), options.clone()).await;
            match bucket.run(put) {
                Ok(_) => return Ok(true),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                // A version of a note that is gone.
                Err(Error::NotFound { .. }) if matches!(mode, PutMode::Update(_)) => return Ok(false),
                Err(e) => return Err(self.files.error(name, "write", &e)),
            }
            // The condition does not hold: because of another, or because this very call was repeated after its
            // answer was lost.
            match (self.writer(name, &path)?, mode) {
                (Some(writer), _) if writer == call.as_ref() => return Ok(true),
                (None, PutMode::Create) => {
                    // Refused for one that has not come to an end (S3's 409).
                    std::thread::sleep(Duration::from_millis(u64::from(20 * turn.min(10))));
                }
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// The call that wrote a note, empty where it does not say; `None` where there is no note.
    fn writer(&self, name: &str, path: &ObjectPath) -> Result<Option<String>, VolumeError> {
        let bucket = self.files.bucket();
        let head = async || bucket.store().get_opts(path, GetOptions::default().with_head(true)).await;
        let found = self.files.found(name, "look up", bucket.run(head))?;
        Ok(found.map(|object| {
            object
                .attributes
                .get(&Attribute::Metadata(CALL.into()))
                .map_or_else(String::new, |call| call.as_ref().to_owned())
        }))
    }
}

impl Store for Prefix {
    fn address(&self, name: &str) -> PathBuf {
        self.files.address(name)
    }

    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError> {
        let path = self.files.path(name)?;
        let bucket = self.files.bucket();
        let get = async || {
            let object = bucket.store().get(&path).await?;
            let meta = object.meta.clone();
            let size = meta.size;
            if size > LARGEST_NOTE { Ok(Err(size)) } else { Ok(Ok((collect(object, size).await?, meta))) }
        };
        match self.files.found(name, "read", bucket.run(get))? {
            None => Ok(None),
            Some(Err(size)) => {
                let place = Place::file(self.files.address(name));
                Err(VolumeError::malformed(place, format!("{size} bytes"), format!("at most {LARGEST_NOTE}")))
            }
            Some(Ok((bytes, meta))) => {
                let version = Version(Kind::Object { tag: meta.e_tag, number: meta.version });
                Ok(Some(Note { bytes, version }))
            }
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VolumeError> {
        self.files.list(folder)
    }

    fn is_empty(&self) -> Result<bool, VolumeError> {
        Ok(self.files.list("")?.is_empty())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
        self.files.put(&[(name.to_owned(), bytes.to_vec())])
    }

    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError> {
        self.put_if(name, &PutMode::Create, bytes)
    }

    fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError> {
        // A version of another place is none of this one's.
        let Kind::Object { tag, number } = &old.0 else { return Ok(false) };
        let version = UpdateVersion { e_tag: tag.clone(), version: number.clone() };
        self.put_if(name, &PutMode::Update(version), bytes)
    }

    fn remove(&self, name: &str) -> Result<(), VolumeError> {
        self.files.remove(name)
    }

    fn remove_folder(&self, folder: &str) -> Result<(), VolumeError> {
        self.files.clear(folder, &[])
    }
}
