//! The link of an MPI library. The only file that calls one.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mpi_sys::{
    MPI_Abort, MPI_Comm_rank, MPI_Comm_set_errhandler, MPI_Comm_size, MPI_Error_string,
    MPI_Finalize, MPI_Get_count, MPI_Get_processor_name, MPI_Improbe, MPI_Init_thread, MPI_Mrecv,
    MPI_Recv, MPI_Send, MPI_Status, RSMPI_ANY_SOURCE, RSMPI_COMM_WORLD, RSMPI_ERRORS_RETURN,
    RSMPI_MESSAGE_NULL, RSMPI_STATUS_IGNORE, RSMPI_THREAD_SERIALIZED, RSMPI_UINT8_T,
};

use super::error::RankError;
use super::post::Link;

/// Tags of the first piece of a message, which begins with its length, and of all others.
const FIRST: c_int = 1;
const FURTHER: c_int = 2;
/// Bytes of a piece: MPI counts them in 32 bits.
const PIECE: usize = 4 << 20;
/// Bytes of a length.
const LENGTH: usize = 8;
/// Room for names and errors; every library needs less.
const TEXT: usize = 8192;

/// All processes that were started together.
pub struct Mpi {
    rank: usize,
    size: usize,
    host: String,
    /// The library may be called from any thread, but from one at a time.
    calls: Mutex<()>,
}

fn check(call: &'static str, code: c_int) -> Result<(), RankError> {
    if code == 0 {
        return Ok(());
    }
    let reason = text(|to, length| {
        // SAFETY: `to` has more room than the library's longest error.
        unsafe { MPI_Error_string(code, to.cast(), length) }
    });
    Err(RankError::Mpi { call, reason: reason.unwrap_or_else(|| format!("error {code}")) })
}

/// A text that the library writes to where it is told, with its length.
fn text(write: impl FnOnce(*mut u8, *mut c_int) -> c_int) -> Option<String> {
    let (mut bytes, mut length) = (vec![0u8; TEXT], 0);
    let code = write(bytes.as_mut_ptr(), &mut length);
    bytes.truncate(usize::try_from(length).ok()?);
    (code == 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

impl Mpi {
    /// Starts the library; on the first thread, before there are others.
    pub fn start() -> Result<Self, RankError> {
        let (mut provided, mut rank, mut size) = (0, 0, 0);
        let (none, nobody) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: nothing was called before; a program without arguments is allowed.
        unsafe {
            check(
                "MPI_Init_thread",
                MPI_Init_thread(none, nobody, RSMPI_THREAD_SERIALIZED, &mut provided),
            )?;
            // Errors come back, so that they can be told.
            let set = MPI_Comm_set_errhandler(RSMPI_COMM_WORLD, RSMPI_ERRORS_RETURN);
            check("MPI_Comm_set_errhandler", set)?;
            check("MPI_Comm_rank", MPI_Comm_rank(RSMPI_COMM_WORLD, &mut rank))?;
            check("MPI_Comm_size", MPI_Comm_size(RSMPI_COMM_WORLD, &mut size))?;
        }
        // SAFETY: a constant of the library.
        if provided < unsafe { RSMPI_THREAD_SERIALIZED } {
            let reason = "the library allows calls from its first thread alone".to_owned();
            return Err(RankError::Mpi { call: "MPI_Init_thread", reason });
        }
        let host = text(|to, length| {
            // SAFETY: `to` has more room than the library's longest name.
            unsafe { MPI_Get_processor_name(to.cast(), length) }
        });
        let host = host.unwrap_or_else(|| "an unknown machine".into());
        Ok(Self { rank: rank as usize, size: size as usize, host, calls: Mutex::new(()) })
    }

    fn calls(&self) -> MutexGuard<'_, ()> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(bytes: &[u8], to: usize, tag: c_int) -> Result<(), RankError> {
    let (from, count) = (bytes.as_ptr().cast::<c_void>(), bytes.len() as c_int);
    // SAFETY: the library reads `count` bytes, and is done with them when it returns.
    let code = unsafe { MPI_Send(from, count, RSMPI_UINT8_T, to as c_int, tag, RSMPI_COMM_WORLD) };
    check("MPI_Send", code)
}

impl Link for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn host(&self) -> String {
        self.host.clone()
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankError> {
        let _one = self.calls();
        let (first, rest) = bytes.split_at(bytes.len().min(PIECE));
        let length = (bytes.len() as u64).to_le_bytes();
        send(&[&length, first].concat(), to, FIRST)?;
        rest.chunks(PIECE).try_for_each(|piece| send(piece, to, FURTHER))
    }

    fn receive(&self) -> Result<Option<(usize, Vec<u8>)>, RankError> {
        let _one = self.calls();
        // SAFETY: a status is plain numbers, which the library fills.
        let mut status: MPI_Status = unsafe { std::mem::zeroed() };
        let (mut is_there, mut count) = (0, 0);
        // SAFETY: all places outlive the calls; `message` is used once, where there is one.
        let first = unsafe {
            let mut message = RSMPI_MESSAGE_NULL;
            let (any, world) = (RSMPI_ANY_SOURCE, RSMPI_COMM_WORLD);
            let code = MPI_Improbe(any, FIRST, world, &mut is_there, &mut message, &mut status);
            check("MPI_Improbe", code)?;
            if is_there == 0 {
                return Ok(None);
            }
            check("MPI_Get_count", MPI_Get_count(&status, RSMPI_UINT8_T, &mut count))?;
            let mut bytes = vec![0u8; usize::try_from(count).unwrap_or(0)];
            let to = bytes.as_mut_ptr().cast::<c_void>();
            let ignored = RSMPI_STATUS_IGNORE;
            check("MPI_Mrecv", MPI_Mrecv(to, count, RSMPI_UINT8_T, &mut message, ignored))?;
            bytes
        };
        let from = status.MPI_SOURCE;
        let short =
            || RankError::Mpi { call: "MPI_Mrecv", reason: "a message without length".into() };
        let (length, start) = first.split_first_chunk::<LENGTH>().ok_or_else(short)?;
        let length = u64::from_le_bytes(*length) as usize;
        let mut bytes = Vec::with_capacity(length.max(start.len()));
        bytes.extend(start);
        while bytes.len() < length {
            let begun = bytes.len();
            bytes.resize(length.min(begun + PIECE), 0);
            let piece = &mut bytes[begun..];
            let (to, count) = (piece.as_mut_ptr().cast::<c_void>(), piece.len() as c_int);
            // SAFETY: there is room for `count` bytes, as many as the sender's piece has.
            let code = unsafe {
                let (world, ignored) = (RSMPI_COMM_WORLD, RSMPI_STATUS_IGNORE);
                MPI_Recv(to, count, RSMPI_UINT8_T, from, FURTHER, world, ignored)
            };
            check("MPI_Recv", code)?;
        }
        Ok(Some((from as usize, bytes)))
    }

    fn abort(&self, code: u8) -> ! {
        // Some launchers drop what they have not yet passed on of what was said.
        std::thread::sleep(Duration::from_millis(200));
        // SAFETY: whatever another thread does in the library ends with the process.
        unsafe { MPI_Abort(RSMPI_COMM_WORLD, c_int::from(code)) };
        std::process::exit(i32::from(code))
    }

    fn close(&self) {
        let _one = self.calls();
        // SAFETY: nothing is called afterwards, and all processes come here.
        unsafe { MPI_Finalize() };
    }
}
