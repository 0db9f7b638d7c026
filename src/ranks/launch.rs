//! How this process was started: alone, or as one of many.

use super::Ranks;
use super::error::RankError;

/// What the variables of MPI launchers say of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Number of this process.
    pub rank: usize,
    /// Number of processes; nothing where the launcher does not say.
    pub size: Option<usize>,
}

/// The variables of a rank and of the number of ranks: Open MPI, MPICH and Intel MPI, PMIx, and what
/// Slurm sets for each step alone. `SLURM_NTASKS` says nothing: a batch script has it, too.
const VARIABLES: [(&str, &str); 5] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
];

impl Launch {
    /// What the environment says; nothing where no launcher started this process.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
        let of = |(rank, size): &(&str, &str)| {
            let (rank, size) = (number(rank)?, number(size));
            // A batch script of Slurm is process 0 of nothing.
            (size.is_some() || !rank_is_slurms(variable)).then_some(Self { rank, size })
        };
        VARIABLES.iter().find_map(of)
    }

    /// Whether there are other processes.
    pub fn is_one_of_many(self) -> bool {
        self.rank > 0 || self.size.is_some_and(|size| size > 1)
    }
}

/// Whether only Slurm numbers this process.
fn rank_is_slurms(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    VARIABLES[..4].iter().all(|(rank, _)| variable(rank).is_none())
}

/// Connects the processes of this job; `launch` is what the environment says of it.
///
/// # Errors
///
/// [`RankError`] where the MPI library cannot be started, or where this program was started more than
/// once and has no MPI library, or one that another launcher belongs to.
pub fn start(launch: Option<Launch>) -> Result<Ranks, RankError> {
    let Some(launch) = launch else { return Ok(Ranks::alone()) };
    connect(launch)
}

#[cfg(feature = "mpi")]
fn connect(launch: Launch) -> Result<Ranks, RankError> {
    let ranks = Ranks::over(Box::new(super::mpi::Mpi::start()?));
    // Each process would do all the work and write the same files.
    match ranks.size() == 1 && launch.is_one_of_many() {
        false => Ok(ranks),
        true => Err(RankError::OtherLauncher { ranks: launch.size }),
    }
}

#[cfg(not(feature = "mpi"))]
fn connect(launch: Launch) -> Result<Ranks, RankError> {
    match launch.is_one_of_many() {
        false => Ok(Ranks::alone()),
        true => Err(RankError::WithoutMpi { ranks: launch.size }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_variables_and_batch_scripts_are_none() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            Launch::from_variables(&move |name| {
                set.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
            })
        };
        let launch = |rank, size| Some(Launch { rank, size });
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&[("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")]),
            launch(3, Some(4))
        );
        assert_eq!(of(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")]), launch(0, Some(2)));
        assert_eq!(of(&[("PMIX_RANK", "1")]), launch(1, None));
        let batch = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "64")];
        assert_eq!(of(&batch), None, "a batch script");
        let step = [("SLURM_PROCID", "5"), ("SLURM_NTASKS", "64"), ("SLURM_STEP_NUM_TASKS", "64")];
        assert_eq!(of(&step), launch(5, Some(64)));
        assert!(launch(0, Some(2)).is_some_and(Launch::is_one_of_many));
        assert!(launch(1, None).is_some_and(Launch::is_one_of_many));
        assert!(!launch(0, Some(1)).is_some_and(Launch::is_one_of_many));
    }
}
