//! `wasi:filesystem` opens files and directories, and nothing else that has a name there.
//!
//! Opening a queue waits until somebody opens its other end, on a thread of the host that nobody can call back; a device does what it
//! likes. So what stands under the name is looked at first.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, Host as _, HostDescriptor as _, OpenFlags, PathFlags,
};

use super::guest::ToolGuest;

/// Where the functions of WASI's own stand; newer and older versions of 0.2 are found there too.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

type Asked = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

/// In the place of what opens anything.
pub(super) fn link(linker: &mut Linker<ToolGuest>) -> Result<()> {
    linker.allow_shadowing(true);
    linker
        .instance(TYPES)?
        .func_wrap_async("[method]descriptor.open-at", |store, asked: Asked| Box::new(async move { Ok((open(store, asked).await?,)) }))?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open(
    mut store: StoreContextMut<'_, ToolGuest>,
    (directory, follow, path, how, what_for): Asked,
) -> Result<Result<Resource<Descriptor>, ErrorCode>> {
    let mut files = store.data_mut().filesystem();
    let again = Resource::new_borrow(directory.rep());
    // What cannot be looked at is not there, or will be refused in the same way.
    if let Ok(found) = files.stat_at(again, follow, path.clone()).await
        && !matches!(found.type_, DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink)
    {
        return Ok(Err(ErrorCode::NotPermitted));
    }
    match files.open_at(directory, follow, path, how, what_for).await {
        Ok(opened) => Ok(Ok(opened)),
        Err(e) => Ok(Err(files.convert_error_code(e)?)),
    }
}
