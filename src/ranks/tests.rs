//! The protocol between ranks, which are threads here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::threads::on_ranks;
use super::*;
use crate::progress::{Interrupted, Silent};

fn work(tasks: usize) -> Shared<'static> {
    Shared { job: Sha256::of("a job"), name: "records", tasks, label: &|at| format!("task {at}") }
}

/// A result with everything that a form of data may lose.
fn result(task: usize) -> (f64, f32, Option<String>) {
    let number = [0.1, f64::NAN, f64::INFINITY, -0., 1e-310][task % 5];
    (number, (task as f32).sqrt(), task.is_multiple_of(2).then(|| format!("record {task}")))
}

fn bits(all: &[(f64, f32, Option<String>)]) -> Vec<(u64, u32, Option<String>)> {
    all.iter().map(|(a, b, c)| (a.to_bits(), b.to_bits(), c.clone())).collect()
}

#[test]
fn all_ranks_get_the_same_results_in_order_whoever_did_them() {
    let expected = bits(&(0..23).map(result).collect::<Vec<_>>());
    for size in [1, 2, 3, 7, 30] {
        let done = AtomicUsize::new(0);
        let found = on_ranks(size, |ranks| {
            let found = ranks.share(&work(23), &Silent, &mut |at| {
                done.fetch_add(1, Ordering::Relaxed);
                // Slow nodes come in any order.
                std::thread::sleep(std::time::Duration::from_micros((at * 577 % 900) as u64));
                Ok::<_, RankError>(result(at))
            });
            let next = ranks.share(&work(0), &Silent, &mut |at| Ok::<_, RankError>(at));
            assert_eq!(next.expect("nothing to do"), [0; 0]);
            ranks.finish(&Silent).expect("all finish");
            (found.expect("results"), ranks.done_by_rank())
        });
        assert!(found.iter().all(|(found, _)| bits(found) == expected), "{size} ranks");
        assert_eq!(done.into_inner(), 23, "no task is done twice");
        let tasks: usize = found[0].1.iter().map(|rank| rank.tasks).sum();
        assert_eq!(tasks, if size == 1 { 0 } else { 23 }, "rank 0 knows what each did");
        assert!(found[0].1.iter().all(|rank| rank.host == format!("node{}", rank.rank)));
    }
}

#[test]
fn a_rank_that_fails_is_named_and_what_was_finished_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal");
    let errors = on_ranks(3, |ranks| {
        ranks.keep(&file, Sha256::of("a job"), "a test").expect("a journal");
        let found = ranks.share(&work(40), &Silent, &mut |at| match (ranks.rank(), at) {
            (2, 5..) => Err(RankError::Mpi { call: "disk", reason: "full".into() }),
            _ => {
                std::thread::sleep(std::time::Duration::from_millis(1));
                Ok(result(at))
            }
        });
        let error = found.map(drop).err();
        match ranks.rank() {
            // As the program does: rank 0 ends the job, which here are threads.
            0 => (1..3).for_each(|rank| {
                ranks.post.as_ref().expect("ranks").send(rank, &Message::End).expect("sent");
            }),
            _ => match &error {
                Some(RankError::Ended) | None => {}
                Some(error) => ranks.fail(&error.to_string()),
            },
        }
        error.map(|error| error.to_string())
    });
    assert_eq!(errors[0].as_deref(), Some("rank 2 on node2: MPI: disk: full"));
    assert_eq!(errors[1].as_deref(), Some("rank 0 ended the job"));
    let kept = Ranks::alone();
    kept.keep(&file, Sha256::of("a job"), "a test").expect("the journal");
    let (finished, _) = kept.kept().expect("a journal");
    assert!((1..40).contains(&finished), "{finished} tasks");
    let again = AtomicUsize::new(0);
    let found = kept.share(&work(40), &Silent, &mut |at| {
        again.fetch_add(1, Ordering::Relaxed);
        Ok::<_, RankError>(result(at))
    });
    let expected = bits(&(0..40).map(result).collect::<Vec<_>>());
    assert_eq!(bits(&found.expect("results")), expected);
    assert_eq!(again.into_inner(), 40 - finished, "finished tasks are not done again");
}

#[test]
fn ranks_that_come_to_other_work_are_noticed() {
    let errors = on_ranks(2, |ranks| {
        let tasks = 3 + ranks.rank();
        let found = ranks.share(&work(tasks), &Silent, &mut |at| Ok::<_, RankError>(at));
        if ranks.is_first() {
            ranks.post.as_ref().expect("ranks").send(1, &Message::End).expect("sent");
        }
        found.map(drop).map_err(|error| error.to_string())
    });
    let error = errors[0].as_ref().expect_err("another number of tasks");
    assert!(error.contains("rank 1 came to records (4 tasks)"), "{error}");
    assert!(error.contains("where rank 0 came to records (3 tasks)"), "{error}");
}

#[test]
fn a_rank_that_ends_early_is_an_error_of_the_others_end() {
    let ends = on_ranks(3, |ranks| {
        if ranks.rank() == 1 {
            ranks.fail("its disk is full");
            return Ok(());
        }
        let ended = ranks.finish(&Silent);
        if ranks.is_first() {
            let post = ranks.post.as_ref().expect("ranks");
            (1..3).for_each(|rank| post.send(rank, &Message::End).expect("sent"));
        }
        ended.map_err(|error| error.to_string())
    });
    assert_eq!(ends[0], Err("rank 1 on node1: its disk is full".into()));
    assert_eq!(ends[2], Ok(()));
}

#[test]
fn rank_0_goes_first_and_stops_all_where_it_cannot() {
    let order = Mutex::new(Vec::new());
    let found = on_ranks(4, |ranks| {
        ranks.first_on_rank_0(&Silent, || {
            order.lock().expect("no panic").push(ranks.rank());
            Ok::<_, RankError>(ranks.rank())
        })
    });
    assert_eq!(found.into_iter().map(|it| it.expect("done")).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(order.into_inner().expect("no panic")[0], 0);
}

#[test]
fn an_interruption_stops_a_share_with_its_own_error() {
    /// Stops after some looks.
    struct Soon(Arc<AtomicUsize>);
    impl Progress for Soon {
        fn check(&self) -> Result<(), Interrupted> {
            let looks = self.0.fetch_add(1, Ordering::Relaxed);
            if looks > 5 { Err(Interrupted) } else { Ok(()) }
        }
    }
    let found = on_ranks(2, |ranks| {
        let soon = Soon(Arc::new(AtomicUsize::new(0)));
        let found = ranks.share(&work(1000), &soon, &mut |at| Ok::<_, RankError>(at));
        found.map(drop)
    });
    assert!(matches!(found[0], Err(RankError::Interrupted(_))), "{found:?}");
}

#[test]
fn every_rank_gives_each_other_what_is_meant_for_it() {
    for size in [1, 2, 3, 4, 7] {
        let all = on_ranks(size, |ranks| {
            let rank = ranks.rank();
            // Of unlike length, and some of nothing.
            let give = |to: usize| vec![10 * rank as u8 + to as u8; (rank + 2 * to) % 5];
            let mut got = Vec::new();
            for _ in 0..3 {
                let give = &mut |to| Ok::<_, RankError>(give(to));
                got.push(ranks.exchange(give, &Silent).expect("an exchange"));
            }
            let gathered = ranks.gather((rank, f64::NAN), &Silent).expect("all have one");
            assert!(gathered.iter().enumerate().all(|(at, (rank, _))| at == *rank));
            let last = size - 1;
            let own = &mut || vec![rank as u8; 3];
            let brought = ranks.to_first(last, own, &Silent).expect("brought");
            assert_eq!(brought, (rank == 0).then(|| vec![last as u8; 3]));
            ranks.finish(&Silent).expect("all finish");
            got
        });
        for (rank, turns) in all.iter().enumerate() {
            for got in turns {
                assert_eq!(got.len(), size);
                for (from, bytes) in got.iter().enumerate() {
                    let length = if from == rank { 0 } else { (from + 2 * rank) % 5 };
                    assert_eq!(*bytes, vec![10 * from as u8 + rank as u8; length], "{size}");
                }
            }
        }
    }
}

#[test]
fn sums_have_the_same_bits_on_any_number_of_ranks() {
    let part = |at: usize| -> Vec<f64> {
        (0..5).map(|i| ((at * 5 + i) as f64).sin() * 10f64.powi(at as i32 % 7)).collect()
    };
    let sum = |ranks: &Ranks, parts: std::ops::Range<usize>| {
        let mut sum = vec![0.; 5];
        let mut order = Vec::new();
        let add = &mut |at: usize, numbers: Vec<f64>| {
            order.push(at);
            sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
            Ok::<_, RankError>(())
        };
        ranks.in_order(parts.clone(), &Silent, &mut |at| Ok(part(at)), add).expect("a sum");
        if ranks.is_first() {
            assert_eq!(order, parts.collect::<Vec<_>>());
        }
        ranks.spread(&mut sum, &Silent).expect("spread");
        ranks.finish(&Silent).expect("all finish");
        sum.iter().map(|number| number.to_bits()).collect::<Vec<_>>()
    };
    let alone = sum(&Ranks::alone(), 2..19);
    for size in [1, 2, 3, 4, 8, 25] {
        let all = on_ranks(size, |ranks| sum(ranks, 2..19));
        assert!(all.iter().all(|found| *found == alone), "{size} ranks");
    }
    let backwards: Vec<f64> = (2..19)
        .rev()
        .map(part)
        .fold(vec![0.; 5], |sum, part| sum.iter().zip(part).map(|(a, b)| a + b).collect());
    let backwards: Vec<u64> = backwards.iter().map(|number| number.to_bits()).collect();
    assert_ne!(backwards, alone, "in another order it is another sum");
}
