//! What a component needs of its language where the standard library is left out: memory, and what happens on a panic.
//!
//! The C library of the target hands out memory and asks nobody for it; nothing here imports WASI.

#![expect(unsafe_code, reason = "an allocator and the function by which the host asks for memory are unsafe by nature")]

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::panic::PanicInfo;

#[link(name = "c")]
unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn realloc(old: *mut c_void, size: usize) -> *mut c_void;
    fn free(old: *mut c_void);
}

/// What `malloc` aligns to on this target.
const MALLOC_ALIGN: usize = 16;

struct LibC;

// SAFETY: `malloc` and its kin keep the contract of an allocator; a larger alignment goes to `aligned_alloc`, which
// wants a multiple of it as the size, and never to `realloc`, which would lose it.
unsafe impl GlobalAlloc for LibC {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let place = if layout.align() <= MALLOC_ALIGN {
            unsafe { malloc(layout.size()) }
        } else {
            unsafe { aligned_alloc(layout.align(), layout.pad_to_align().size()) }
        };
        place.cast()
    }

    unsafe fn dealloc(&self, place: *mut u8, _: Layout) {
        unsafe { free(place.cast()) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGN {
            return unsafe { realloc(place.cast(), size) }.cast();
        }
        // SAFETY: the caller promises that `size` fits with this alignment.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            unsafe {
                core::ptr::copy_nonoverlapping(place, new, layout.size().min(size));
                self.dealloc(place, layout);
            }
        }
        new
    }
}

#[global_allocator]
static MEMORY: LibC = LibC;

/// The host asks for room here before it writes an argument or an answer.
///
/// # Safety
/// `old` is null or was given out by this function with `old_size` and `align`.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    if size == 0 {
        // Nothing is written there; any aligned place will do.
        return core::ptr::without_provenance_mut(align);
    }
    let place = match old_size {
        // SAFETY: the host gives alignments of WIT types, which are powers of two, and sizes that fit the memory.
        0 => unsafe { MEMORY.alloc(Layout::from_size_align_unchecked(size, align)) },
        // SAFETY: as above, and `old` came from here.
        _ => unsafe { MEMORY.realloc(old, Layout::from_size_align_unchecked(old_size, align), size) },
    };
    if place.is_null() {
        // The host must not write to null.
        core::arch::wasm32::unreachable();
    }
    place
}

/// The message goes to the job's log, and the instance ends.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "playbook")]
    crate::flow::log(crate::flow::Level::Error, info);
    // A tool without the standard library has nowhere to write to.
    #[cfg(not(feature = "playbook"))]
    let _ = info;
    core::arch::wasm32::unreachable()
}
