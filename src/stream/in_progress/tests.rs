//! What is kept and what is dropped, rule by rule.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::held::record;
use super::{Came, InProgress, InProgressError, Whole};
use crate::lsn::Lsn;
use crate::stream::{Begin, Commit};

fn keeper() -> InProgress {
    InProgress::new(usize::MAX, std::env::temp_dir())
}

fn start(xid: u32, first: bool) -> Vec<u8> {
    [&b"S"[..], &xid.to_be_bytes(), &[u8::from(first)]].concat()
}

/// A message of this kind inside a block.
fn inside(kind: u8, own: u32, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], &own.to_be_bytes(), rest].concat()
}

fn abort(xid: u32, own: u32) -> Vec<u8> {
    [&b"A"[..], &xid.to_be_bytes(), &own.to_be_bytes()].concat()
}

/// Its commit record is five bytes long.
fn commit(xid: u32, at: u64) -> Vec<u8> {
    let positions = [at.to_be_bytes(), (at + 5).to_be_bytes(), 77_i64.to_be_bytes()].concat();
    [&b"c"[..], &xid.to_be_bytes(), &[0], &positions].concat()
}

fn take(keeper: &mut InProgress, payload: impl Into<Bytes>) -> Result<Came, InProgressError> {
    keeper.take(Lsn(9), payload.into())
}

fn aside(keeper: &mut InProgress, payload: impl Into<Bytes>) {
    let came = take(keeper, payload);
    assert!(matches!(came, Ok(Came::Aside)), "{came:?}");
}

/// A block of inserts by these (sub)transactions, each of which says whose it is.
fn block(keeper: &mut InProgress, xid: u32, first: bool, owners: &[u32]) {
    aside(keeper, start(xid, first));
    for own in owners {
        aside(keeper, inside(b'I', *own, own.to_string().as_bytes()));
    }
    aside(keeper, &b"E"[..]);
}

fn ends(keeper: &mut InProgress, xid: u32, at: u64) -> Whole {
    match take(keeper, commit(xid, at)) {
        Ok(Came::Committed(whole)) => *whole,
        other => panic!("{other:?}"),
    }
}

/// The messages of a transaction, joined.
fn text(mut whole: Whole) -> String {
    let mut texts = Vec::new();
    while let Some(mut block) = whole.messages.next().unwrap() {
        while let Some((at, payload)) = record(&mut block) {
            assert_eq!(at, Lsn(9));
            texts.push(String::from_utf8(payload.to_vec()).unwrap());
        }
    }
    texts.join(" ")
}

fn refused(keeper: &mut InProgress, payload: impl Into<Bytes>) -> String {
    take(keeper, payload).unwrap_err().to_string()
}

#[test]
fn messages_wait_for_the_commit_without_their_transaction_ids() {
    let mut keeper = keeper();
    aside(&mut keeper, start(7, true));
    aside(&mut keeper, &b"O12345678name\0"[..]);
    for kind in *b"RYIUDTM" {
        aside(&mut keeper, inside(kind, 7, b"rest"));
    }
    aside(&mut keeper, &b"E"[..]);
    // Another one in between, and one that comes whole.
    block(&mut keeper, 8, true, &[8]);
    for passed in [&b"B..."[..], b"R\0\0", b"I", b"C", b"", b"?"] {
        let came = take(&mut keeper, passed);
        assert!(matches!(&came, Ok(Came::Message(same)) if same == passed), "{came:?}");
    }
    block(&mut keeper, 7, false, &[7]);
    assert_eq!(keeper.transactions(), 2);
    let whole = ends(&mut keeper, 7, 100);
    assert_eq!(whole.begin, Begin { final_lsn: Lsn(100), time: 77, xid: 7 });
    assert_eq!(whole.commit, Commit { commit_lsn: Lsn(100), end_lsn: Lsn(105), time: 77 });
    assert_eq!(text(whole), "O12345678name\0 Rrest Yrest Irest Urest Drest Trest Mrest I7");
    assert_eq!(text(ends(&mut keeper, 8, 110)), "I8");
    assert_eq!((keeper.transactions(), keeper.memory()), (0, 0));
}

#[test]
fn what_is_rolled_back_is_dropped_with_all_that_is_inside_it() {
    let mut keeper = keeper();
    block(&mut keeper, 1, true, &[1, 2, 3, 2]);
    block(&mut keeper, 1, false, &[2, 4]);
    // Of 9 nothing was published.
    aside(&mut keeper, abort(1, 9));
    aside(&mut keeper, abort(1, 3));
    block(&mut keeper, 1, false, &[2, 1]);
    assert_eq!(text(ends(&mut keeper, 1, 10)), "I1 I2 I2 I1");

    // The server tells of those inside one after the other, in any order; what it did to none of them stays.
    for order in [[3, 4, 2], [2, 3, 4], [4, 2, 3]] {
        block(&mut keeper, 1, true, &[1, 2, 3, 4, 2]);
        for own in order {
            aside(&mut keeper, abort(1, own));
        }
        // Numbers do not come again, but if they did.
        block(&mut keeper, 1, false, &[1, 3, 1]);
        assert_eq!(text(ends(&mut keeper, 1, 10)), "I1 I1 I3 I1");
    }
}

#[test]
fn a_transaction_that_is_rolled_back_is_gone() {
    let mut keeper = keeper();
    block(&mut keeper, 1, true, &[1, 2]);
    assert!(keeper.memory() > 0);
    aside(&mut keeper, abort(1, 1));
    assert_eq!((keeper.transactions(), keeper.memory()), (0, 0));
    assert!(refused(&mut keeper, commit(1, 10)).contains("transaction 1"));
}

/// The source sends the blocks of a transaction of which nothing is published, and its end.
#[test]
fn a_transaction_may_be_empty() {
    let mut keeper = keeper();
    block(&mut keeper, 1, true, &[]);
    block(&mut keeper, 1, false, &[]);
    assert_eq!(text(ends(&mut keeper, 1, 10)), "");
}

#[test]
fn what_is_too_much_for_memory_goes_to_files_without_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = InProgress::new(100_000, dir.path().to_owned());
    let long = "x".repeat(1000);
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..300 {
        for xid in 0..3_u32 {
            aside(&mut keeper, start(xid, round == 0));
            for n in 0..=xid {
                let row = format!("{round} {n} {long}");
                aside(&mut keeper, inside(b'I', xid, row.as_bytes()));
                expected[xid as usize].push(format!("I{row}"));
            }
            aside(&mut keeper, &b"E"[..]);
        }
        assert!(keeper.memory() <= 100_000, "{}", keeper.memory());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a file with a name");
    for (xid, expected) in expected.iter().enumerate() {
        assert!(text(ends(&mut keeper, xid as u32, 10)) == expected.join(" "));
    }
    assert_eq!(keeper.memory(), 0);
}

#[test]
fn a_file_that_cannot_be_made_is_told_once_it_is_needed() {
    let mut keeper = InProgress::new(10_000, "/no/such/folder".into());
    block(&mut keeper, 1, true, &[1]);
    aside(&mut keeper, start(1, false));
    let error = refused(&mut keeper, inside(b'I', 1, &[b'x'; 20_000]));
    assert!(error.contains("in /no/such/folder: No such file"), "{error}");
}

#[test]
fn the_description_that_came_last_holds() {
    let mut keeper = keeper();
    let describe = |keeper: &mut InProgress, own: Option<u32>, oid: u32| match own {
        Some(own) => aside(keeper, inside(b'R', own, &oid.to_be_bytes())),
        None => drop(take(keeper, [&b"R"[..], &oid.to_be_bytes()].concat()).unwrap()),
    };
    describe(&mut keeper, None, 51);
    aside(&mut keeper, start(1, true));
    for (own, oid) in [(1, 51), (1, 52), (1, 53), (2, 54), (2, 52)] {
        describe(&mut keeper, Some(own), oid);
    }
    aside(&mut keeper, &b"E"[..]);
    aside(&mut keeper, abort(1, 2));
    describe(&mut keeper, None, 53);
    let whole = ends(&mut keeper, 1, 10);
    let mut held: Vec<(u32, bool)> =
        whole.described.iter().map(|(oid, moment)| (*oid, keeper.holds(*oid, *moment))).collect();
    held.sort_unstable();
    assert_eq!(held, [(51, true), (52, true), (53, false)]);
    // What holds is from then on what was said last.
    assert!(!keeper.holds(51, 1));
}

#[test]
fn what_the_protocol_forbids_is_an_error() {
    let again = "the source began to send transaction 1, which is in progress, a second time";
    let mut known = keeper();
    block(&mut known, 1, true, &[1]);
    assert_eq!(refused(&mut known, start(1, true)), again);
    for (payload, kind) in
        [(start(2, false), 'S'), (abort(2, 2), 'A'), (abort(2, 3), 'A'), (commit(2, 9), 'c')]
    {
        let unknown = format!(
            "a message of kind {kind:?} speaks of transaction 2, of which the source has sent no beginning"
        );
        assert_eq!(refused(&mut known, payload), unknown);
    }
    let misplaced = |kind: char| {
        format!("a message of kind {kind:?} came where no part of a transaction in progress may begin or end")
    };
    assert_eq!(refused(&mut known, &b"E"[..]), misplaced('E'));
    // Between a begin and a commit.
    take(&mut known, &b"B"[..]).unwrap();
    for (payload, kind) in [(start(1, false), 'S'), (abort(1, 1), 'A'), (commit(1, 9), 'c')] {
        assert_eq!(refused(&mut known, payload), misplaced(kind));
    }
    take(&mut known, &b"C"[..]).unwrap();
    // Inside a block: other blocks, ends, transactions that come whole, and what nobody knows.
    aside(&mut known, start(1, false));
    for kind in *b"SAcBCb?" {
        let kind_inside = format!(
            "a message of kind {:?} came among the changes of transaction 1, which is in progress",
            char::from(kind)
        );
        assert_eq!(refused(&mut known, inside(kind, 1, b"")), kind_inside);
    }
    let malformed =
        |kind: char| format!("a message of kind {kind:?} about a transaction in progress is malformed");
    assert_eq!(refused(&mut known, &b"I\0\0\0"[..]), malformed('I'));
    assert_eq!(refused(&mut known, inside(b'R', 1, b"\0\0\0")), malformed('R'));
    assert_eq!(refused(&mut known, &b"E?"[..]), malformed('E'));
    aside(&mut known, &b"E"[..]);
    assert_eq!(refused(&mut known, &b"S\0\0\0\x01\x02"[..]), malformed('S'));
    let mut flagged = commit(1, 9);
    flagged[5] = 1;
    assert_eq!(refused(&mut known, flagged), malformed('c'));
    for (whole, kind) in [(start(1, false), 'S'), (abort(1, 1), 'A'), (commit(1, 9), 'c')] {
        for end in 1..whole.len() {
            assert_eq!(refused(&mut known, whole[..end].to_vec()), malformed(kind));
        }
        assert_eq!(refused(&mut known, [&whole[..], b"?"].concat()), malformed(kind));
    }
    // Nothing of this has harmed it.
    assert_eq!(text(ends(&mut known, 1, 10)), "I1");
}

proptest! {
    #[test]
    fn any_messages(messages in prop::collection::vec(prop_oneof![
        (0..4_u32, any::<bool>()).prop_map(|(xid, first)| start(xid, first)),
        Just(b"E".to_vec()),
        (0..4_u32, 0..6_u32).prop_map(|(xid, own)| abort(xid, own)),
        (0..4_u32).prop_map(|xid| commit(xid, 1)),
        (prop::sample::select(b"RYIUDTMOBC".to_vec()), 0..6_u32, prop::collection::vec(any::<u8>(), 0..8))
            .prop_map(|(kind, own, rest)| inside(kind, own, &rest)),
        prop::collection::vec(any::<u8>(), 0..12),
    ], 0..60)) {
        let mut keeper = InProgress::new(10_000, std::env::temp_dir());
        for message in messages {
            if let Ok(Came::Committed(whole)) = take(&mut keeper, message) {
                let mut messages = whole.messages;
                while let Some(mut block) = messages.next().unwrap() {
                    while record(&mut block).is_some() {}
                    prop_assert!(block.is_empty());
                }
            }
            prop_assert!(keeper.memory() <= 10_000);
            prop_assert!(keeper.transactions() > 0 || keeper.memory() == 0);
        }
    }
}
