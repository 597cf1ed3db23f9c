//! Keeps this code loaded while signal handlers point to it.

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Keeps the object with this function loaded after dlclose. That matters for a plugin that
/// links libvarta.a; the shared library is linked with -z nodelete.
#[cfg(target_env = "gnu")]
pub(super) fn keep_loaded(function: *const c_void) -> io::Result<()> {
    let Some(object) = object_of(function) else { return Ok(()) };
    // SAFETY: only reads a number.
    let headers = usize::try_from(unsafe { libc::getauxval(libc::AT_PHDR) }).unwrap_or(0);
    let program = object_of(ptr::with_exposed_provenance(headers));
    // The program itself is never unloaded, and dlopen cannot find it by its name.
    if program.is_some_and(|program| program.dli_fbase == object.dli_fbase) {
        return Ok(());
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name comes from the loader. Nothing is loaded, so no constructor runs.
    let kept = unsafe { libc::dlopen(object.dli_fname, flags) };
    if kept.is_null() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
}

/// Other C libraries never unload anything.
#[cfg(not(target_env = "gnu"))]
pub(super) fn keep_loaded(_: *const c_void) -> io::Result<()> {
    Ok(())
}

#[cfg(target_env = "gnu")]
fn object_of(address: *const c_void) -> Option<libc::Dl_info> {
    let mut found = MaybeUninit::uninit();
    // SAFETY: accepts any address, and writes only to `found`.
    let is_known = unsafe { libc::dladdr(address, found.as_mut_ptr()) } != 0;
    // SAFETY: dladdr wrote to it if the address is known.
    is_known.then(|| unsafe { found.assume_init() })
}
