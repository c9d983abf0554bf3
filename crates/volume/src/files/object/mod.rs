//! Files below a prefix of an object store, through the `object_store` crate.

mod bucket;
mod error;

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt, PutPayload};

use super::address::Scheme;
use super::{Address, Files, below, check_key, too_long, too_short};
use crate::{Place, VolumeError};

pub(crate) use bucket::Bucket;

/// Requests that one call has under way. More do not help a chunk of a few MB, and each holds a chunk in memory.
const AT_ONCE: usize = 16;

/// The objects below a prefix of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct ObjectFiles {
    address: Address,
    bucket: Arc<Bucket>,
}

impl ObjectFiles {
    /// The objects at an address; no request is made yet.
    pub(crate) fn open(address: &Address) -> Result<Self, VolumeError> {
        Ok(Self { address: address.clone(), bucket: Bucket::of(address)? })
    }

    /// The store.
    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The object of a key.
    pub(crate) fn path(&self, key: &str) -> Result<ObjectPath, VolumeError> {
        check_key(&self.address.of(""), key)?;
        self.parse(&below(&self.address.prefix, key))
    }

    fn parse(&self, name: &str) -> Result<ObjectPath, VolumeError> {
        // A web address is written as a browser shows it, with %20 for a space.
        let parsed = match self.address.scheme {
            Scheme::Web => ObjectPath::from_url_path(name),
            _ => ObjectPath::parse(name),
        };
        parsed.map_err(|e| {
            VolumeError::malformed(Place::file(self.address.of("")), e.to_string(), "a name that a store takes")
        })
    }

    /// The prefix, or what lies below it; `None` for a whole bucket.
    fn folder(&self, prefix: &str) -> Result<Option<ObjectPath>, VolumeError> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.is_empty() {
            return self.path(prefix).map(Some);
        }
        if self.address.prefix.is_empty() { Ok(None) } else { self.parse(&self.address.prefix).map(Some) }
    }

    /// The error of a request at a key.
    pub(crate) fn error(&self, key: &str, action: &'static str, error: &object_store::Error) -> VolumeError {
        error::volume_error(self.address.scheme, self.address.of(key), action, error)
    }

    /// `None` where there is no object; an error where there is not even a bucket.
    pub(crate) fn found<T>(
        &self,
        key: &str,
        action: &'static str,
        result: Result<T, object_store::Error>,
    ) -> Result<Option<T>, VolumeError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if matches!(e, object_store::Error::NotFound { .. }) && !error::lacks_bucket(&e) => Ok(None),
            Err(e) => Err(self.error(key, action, &e)),
        }
    }

    pub(crate) fn to_write(&self, action: &'static str) -> Result<(), VolumeError> {
        if self.address.scheme != Scheme::Web {
            return Ok(());
        }
        Err(VolumeError::Unsupported {
            place: Place::file(self.address.of("")),
            found: format!("a web address, to {action}"),
            expected: "http:// and https:// to read from only".into(),
            hint: "Write to a path on this machine, or to s3://, gs:// or az://.".into(),
        })
    }

    /// Removes every object below a folder (the empty one is the whole prefix), those whose name is one of `last` after all
    /// others: what an interrupted removal leaves is still known for what it is.
    pub(crate) fn clear(&self, folder: &str, last: &'static [&'static str]) -> Result<(), VolumeError> {
        self.to_write("remove from")?;
        let folder = self.folder(folder)?;
        for turn in [false, true] {
            let removed = self.bucket.run(async || {
                let store = self.bucket.store();
                let listed = store.list(folder.as_ref()).map_ok(|object| object.location);
                let chosen =
                    listed.try_filter(move |path| ready(turn == path.filename().is_some_and(|n| last.contains(&n))));
                store.delete_stream(chosen.boxed()).try_for_each(|_| ready(Ok(()))).await
            });
            removed.map_err(|e| self.error("", "remove", &e))?;
        }
        Ok(())
    }
}

impl Files for ObjectFiles {
    fn address(&self, key: &str) -> PathBuf {
        self.address.of(key)
    }

    fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let path = self.path(key)?;
        let result = self.bucket.run(async || {
            let object = self.bucket.store().get(&path).await?;
            let size = object.meta.size;
            // A body is not read before its length is found good.
            if size > most { Ok(Err(size)) } else { collect(object, size).await.map(Ok) }
        });
        match self.found(key, "read", result)? {
            Some(Err(size)) => Err(too_long(self.address.of(key), size, most)),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            None => Ok(None),
        }
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let short = |size| too_short(self.address.of(key), size, start, len);
        let end = match start.checked_add(len) {
            Some(end) if len > 0 => end,
            // A store is not asked for nothing.
            end => {
                let Some(size) = self.size(key)? else { return Ok(None) };
                return if end.is_some_and(|end| end <= size) { Ok(Some(Vec::new())) } else { Err(short(size)) };
            }
        };
        let path = self.path(key)?;
        let result = self.bucket.run(async || {
            let options = GetOptions { range: Some(GetRange::Bounded(start..end)), ..GetOptions::default() };
            let object = self.bucket.store().get_opts(&path, options).await?;
            let size = object.meta.size;
            if end > size { Ok(Err(size)) } else { collect(object, len).await.map(Ok) }
        });
        match result {
            Ok(Err(size)) => Err(short(size)),
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            // A store may also refuse a range that begins beyond the end.
            Err(e) if !matches!(e, object_store::Error::NotFound { .. }) => match self.size(key)? {
                Some(size) if end > size => Err(short(size)),
                _ => Err(self.error(key, "read a part of", &e)),
            },
            Err(e) => self.found(key, "read a part of", Err(e)),
        }
    }

    fn size(&self, key: &str) -> Result<Option<u64>, VolumeError> {
        let path = self.path(key)?;
        let result = self.bucket.run(async || self.bucket.store().head(&path).await);
        Ok(self.found(key, "look up", result)?.map(|meta| meta.size))
    }

    fn put(&self, files: &[(String, Vec<u8>)]) -> Result<(), VolumeError> {
        self.to_write("write to")?;
        let mut puts = Vec::with_capacity(files.len());
        for (key, bytes) in files {
            let path = self.path(key)?;
            puts.push(async move {
                let put = async || self.bucket.store().put(&path, PutPayload::from(bytes.clone())).await;
                self.bucket.patiently(put).await.map_err(|e| self.error(key, "write", &e))
            });
        }
        self.bucket.block_on(stream::iter(puts).buffer_unordered(AT_ONCE).try_for_each(|_| ready(Ok(()))))
    }

    fn remove(&self, key: &str) -> Result<(), VolumeError> {
        self.remove_many(&[key.to_owned()])
    }

    fn remove_many(&self, keys: &[String]) -> Result<(), VolumeError> {
        self.to_write("remove from")?;
        let mut removals = Vec::with_capacity(keys.len());
        for key in keys {
            let path = self.path(key)?;
            removals.push(async move {
                let removed = self.bucket.patiently(async || self.bucket.store().delete(&path).await).await;
                self.found(key, "remove", removed)
            });
        }
        self.bucket.block_on(stream::iter(removals).buffer_unordered(AT_ONCE).try_for_each(|_| ready(Ok(()))))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, VolumeError> {
        if self.address.scheme == Scheme::Web {
            return Err(VolumeError::Unsupported {
                place: Place::file(self.address.of(prefix)),
                found: "a web address, to list".into(),
                expected: "the address of a volume: a web server does not say what lies in a folder".into(),
                hint: "Give the volume's own address, or s3://, gs:// or az://.".into(),
            });
        }
        let folder = self.folder(prefix)?;
        let result = self.bucket.run(async || self.bucket.store().list_with_delimiter(folder.as_ref()).await);
        let Some(listed) = self.found(prefix, "list", result)? else { return Ok(Vec::new()) };
        let folders = listed.common_prefixes.iter().filter_map(|path| Some(format!("{}/", path.filename()?)));
        let objects = listed.objects.iter().filter_map(|object| object.location.filename().map(str::to_owned));
        let mut names: Vec<String> = folders.chain(objects).collect();
        names.sort();
        Ok(names)
    }
}

/// The body of an answer, of `size` bytes.
pub(crate) async fn collect(object: GetResult, size: u64) -> Result<Vec<u8>, object_store::Error> {
    let wrong = |found: String| object_store::Error::Generic {
        store: "body",
        source: format!("{found} where {size} bytes were announced").into(),
    };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size as usize).map_err(|e| wrong(e.to_string()))?;
    let mut body = object.into_stream();
    while let Some(part) = body.try_next().await? {
        if (bytes.len() + part.len()) as u64 > size {
            return Err(wrong("more".into()));
        }
        bytes.extend_from_slice(&part);
    }
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(wrong(bytes.len().to_string())) }
}
