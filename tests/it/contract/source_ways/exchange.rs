//! Who may write into an exchange folder may put links and pipes there: none leads us elsewhere, none holds us up.

use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, inotify, mknodat};

use super::*;

/// What a link in the folder leads to.
const ELSEWHERE: &str = "token";

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// A look that waits for nobody.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it waits for the other end of a pipe")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_leads_what_is_written_elsewhere() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files(""));
    std::fs::write(world.path("inbox/a.csv"), ROWS).unwrap();
    for name in [".lastmile-probe", ".lastmile-probe.new", ".a.csv.answers.new", "a.csv.result.csv.new"] {
        symlink(world.path(ELSEWHERE), world.path("inbox").join(name)).unwrap();
    }
    source.probe().await.unwrap();
    assert_eq!(look(&world, &ledger, &source).await, None);
    assert_eq!(world.text(ELSEWHERE), "open-sesame");
    assert_eq!(world.names("inbox/done"), ["a.csv", "a.csv.result.csv"]);

    // Answers that are added to a link, and a folder that is one, are refused, and said to be.
    std::fs::write(world.path("inbox/b.csv"), ROWS.replace("o-", "b-")).unwrap();
    symlink(world.path(ELSEWHERE), world.path("inbox/.b.csv.answers")).unwrap();
    let refused = intake::poll(&ledger, &*source, &Pauses::default(), &*world.clock).await.unwrap_err().to_string();
    assert!(refused.contains("E-FILE") && refused.contains("a link, a pipe"), "{refused}");
    std::fs::remove_file(world.path("inbox/.b.csv.answers")).unwrap();
    std::fs::rename(world.path("inbox/done"), world.path("taken")).unwrap();
    std::fs::create_dir(world.path("far")).unwrap();
    symlink(world.path("far"), world.path("inbox/done")).unwrap();
    let refused = look(&world, &ledger, &source).await;
    assert!(matches!(refused, Some(CallError::Retry { code: "E-FILE", .. })), "{refused:?}");
    assert_eq!((world.text(ELSEWHERE).as_str(), world.names("far").len()), ("open-sesame", 0));
    std::fs::remove_file(world.path("inbox/done")).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!((world.names("inbox/done").len(), orders(&ledger).await), (2, 4), "nothing was lost by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pipe_holds_a_look_up() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files("after = \"leave\""));
    std::fs::write(world.path("inbox/a.csv"), ROWS).unwrap();
    for name in [".lastmile-probe", ".a.csv.answered", ".a.csv.answers"] {
        pipe(&world.path("inbox").join(name));
    }
    soon(source.probe()).await.unwrap();
    let refused = soon(intake::poll(&ledger, &*source, &Pauses::default(), &*world.clock)).await.unwrap_err().to_string();
    assert!(refused.contains("a link, a pipe"), "{refused}");
    std::fs::remove_file(world.path("inbox/.a.csv.answers")).unwrap();
    assert_eq!(soon(look(&world, &ledger, &source)).await, None);
    assert_eq!(orders(&ledger).await, 2);
    assert_eq!(world.text("inbox/.a.csv.answered").trim().len(), 64, "the mark took the pipe's place");

    let source = world.files("[report]\nfile = \"out.csv\"");
    pipe(&world.path("out.csv"));
    let refused = soon(source.probe()).await;
    assert!(matches!(refused, Err(CallError::Retry { code: "E-FILE", .. })), "{refused:?}");
    let refused = soon(source.report(&completion("r-1", "done"))).await;
    assert!(matches!(refused, Err(CallError::Retry { code: "E-FILE", .. })), "{refused:?}");
}

/// How often a file of that name was opened in the folder since the last time of asking.
fn opened(watch: &impl std::os::fd::AsFd, name: &str) -> usize {
    let mut space = [std::mem::MaybeUninit::uninit(); 4_096];
    let mut events = inotify::Reader::new(watch, &mut space);
    let mut count = 0;
    loop {
        match events.next() {
            Ok(event) => count += usize::from(event.file_name().is_some_and(|of| of.to_str() == Ok(name))),
            Err(rustix::io::Errno::AGAIN) => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_stays_and_has_not_changed_is_not_read_again_and_no_change_is_missed() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files("after = \"leave\""));
    std::fs::write(world.path("inbox/a.csv"), ROWS).unwrap();
    look(&world, &ledger, &source).await;
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, world.path("inbox"), inotify::WatchFlags::OPEN).unwrap();
    // What was written within the same tick of the file system's clock as what was read would look the same: it is read
    // until it has looked so for a while.
    look(&world, &ledger, &source).await;
    assert_eq!(opened(&watch, "a.csv"), 1);
    look(&world, &ledger, &source).await;
    assert_eq!(opened(&watch, "a.csv"), 1);
    for _ in 0..3 {
        look(&world, &ledger, &source).await;
    }
    assert_eq!(opened(&watch, "a.csv"), 0, "a look costs no reading");

    // As long as before, and with the time of before: it is another file all the same.
    let before = std::fs::metadata(world.path("inbox/a.csv")).unwrap().modified().unwrap();
    std::fs::write(world.path("inbox/a.csv"), ROWS.replace("o-4", "o-7")).unwrap();
    std::fs::File::options().write(true).open(world.path("inbox/a.csv")).unwrap().set_modified(before).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(orders(&ledger).await, 3);
    for _ in 0..3 {
        look(&world, &ledger, &source).await;
    }
    opened(&watch, "a.csv");
    look(&world, &ledger, &source).await;
    assert_eq!(opened(&watch, "a.csv"), 0);

    // Who wants it taken once more takes its mark away.
    std::fs::remove_file(world.path("inbox/.a.csv.answered")).unwrap();
    look(&world, &ledger, &source).await;
    assert!(opened(&watch, "a.csv") > 0 && world.path("inbox/.a.csv.answered").exists());
}
