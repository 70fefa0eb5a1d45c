//! Listings: page by page where the store has pages, so that a failure costs one of them and not all.

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::list::PaginatedListOptions;
use object_store::path::Path;

use super::{Listed, Store};
use crate::Result;

impl Store {
    /// The files in a folder and below, in no order. A listing may miss what was just stored.
    ///
    /// What a crash of a local writer left of a file (`name#1`) is none: `LocalFileSystem` leaves it
    /// out.
    pub fn list(&self, folder: &str) -> BoxStream<'static, Result<Listed>> {
        if self.shared.pages.is_some() {
            let files = |page: Vec<Listed>| futures_util::stream::iter(page.into_iter().map(Ok));
            return self.pages(folder, None).map_ok(files).try_flatten().boxed();
        }
        let prefix = self.full(folder);
        self.unpaged(folder, self.shared.store.list(Some(&prefix)))
    }

    /// The greatest of the numbers that `number_of` reads from the paths of the files in a folder,
    /// those only that sort after `after`, if that is given. As every listing, it may miss the newest.
    pub(crate) async fn greatest(
        &self,
        folder: &str,
        after: Option<&str>,
        number_of: impl Fn(&str) -> Option<u64>,
    ) -> Result<Option<u64>> {
        let after = after.map(|after| self.full(after));
        let newest = |page: &[Listed]| page.iter().filter_map(|file| number_of(&file.path)).max();
        if self.shared.pages.is_some() {
            let mut pages = self.pages(folder, after);
            let mut greatest = None;
            while let Some(page) = pages.try_next().await? {
                greatest = greatest.max(newest(&page));
            }
            return Ok(greatest);
        }
        let prefix = self.full(folder);
        let attempt = || {
            self.bounded(0, async {
                let store = &self.shared.store;
                let found = match &after {
                    Some(after) => store.list_with_offset(Some(&prefix), after),
                    None => store.list(Some(&prefix)),
                };
                let greatest = found.try_fold(None::<u64>, |greatest, meta| {
                    let number = number_of(&self.relative(&meta.location));
                    std::future::ready(Ok(greatest.max(number)))
                });
                Ok(greatest.await)
            })
        };
        let greatest = self.request(attempt).await?;
        greatest.map_err(|source| self.failed("list", folder, source))
    }

    /// The pages of a listing in the store's own order, each requested until it is there.
    fn pages(&self, folder: &str, after: Option<Path>) -> BoxStream<'static, Result<Vec<Listed>>> {
        let options = PaginatedListOptions {
            offset: after.map(|after| after.to_string()),
            ..PaginatedListOptions::default()
        };
        let from = (self.clone(), folder.to_owned(), Some(options));
        futures_util::stream::try_unfold(from, |(store, folder, options)| async move {
            let Some(options) = options else { return Ok(None) };
            let (page, token) = store.page(&folder, &options).await?;
            let next =
                token.map(|token| PaginatedListOptions { page_token: Some(token), ..options });
            Ok(Some((page, (store, folder, next))))
        })
        .boxed()
    }

    async fn page(
        &self,
        folder: &str,
        options: &PaginatedListOptions,
    ) -> Result<(Vec<Listed>, Option<String>)> {
        let pages = self.shared.pages.as_ref().expect("only a store with pages is asked for one");
        let prefix = match self.full(folder) {
            root if root.as_ref().is_empty() => None,
            folder => Some(format!("{folder}/")),
        };
        let attempt =
            || self.bounded(0, pages.list_paginated(prefix.as_deref(), options.clone()).map(Ok));
        let found = self.request(attempt).await?;
        let found = found.map_err(|source| self.failed("list", folder, source))?;
        let files = found.result.objects.iter().map(|meta| self.listed(meta));
        Ok((files.collect(), found.page_token))
    }

    fn unpaged(
        &self,
        folder: &str,
        found: BoxStream<'static, object_store::Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<Listed>> {
        let from = (self.clone(), folder.to_owned(), found);
        futures_util::stream::try_unfold(from, |(store, folder, mut found)| async move {
            let next = found.next().map(|next| Ok(next.transpose()));
            let next = store.bounded(0, next).await?;
            let next = next.map_err(|source| store.failed("list", &folder, source))?;
            let Some(meta) = next else { return Ok(None) };
            Ok(Some((store.listed(&meta), (store, folder, found))))
        })
        .boxed()
    }

    fn listed(&self, meta: &ObjectMeta) -> Listed {
        Listed { path: self.relative(&meta.location), size: meta.size }
    }
}
