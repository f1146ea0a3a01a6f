use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::*;
use crate::ledger::engine::{Pool, query, query_as};
use crate::ledger::views::{FactFilter, Filter};
use crate::model::id::IdMaker;

const NOW: Timestamp = Timestamp(1_795_500_000_000);
const DAY: i64 = 86_400_000;

async fn ground(folder: &tempfile::TempDir) -> Pool {
    let options = SqliteConnectOptions::new().filename(folder.path().join("views.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::migrate!("migrations/sqlite").run(&pool).await.unwrap();
    Pool::Sqlite(pool)
}

struct Row<'a> {
    app: &'a str,
    state: &'a str,
    group: Option<&'a str>,
    eligible: i64,
    closed: Option<i64>,
    parked: bool,
}

async fn put(pool: &Pool, ids: &IdMaker, row: Row<'_>) -> Id {
    let id = ids.next(Timestamp(row.eligible));
    let document = r#"{"source":"idm","reason":"Because of Zoe Quill"}"#;
    query("INSERT INTO inbox VALUES ($1, 'idm', $2, 'd', 0, 'new', $1, $3)")
        .bind(id.0)
        .bind(id.to_string())
        .bind(document)
        .execute(pool)
        .await
        .unwrap();
    query(
        "INSERT INTO assignment (id, natural_key, source, external_id, generation, operation, revocation, application_id,
            application_name, entitlement_name, beneficiary, persons, lane, lane_at, priority, requested_at, approved_at, received_at,
            state, parked_at, parked_code, parked_reason, content_digest, document_id, eligible_at, admin_group, ticket_id,
            filed_at, closed_at, chain_seq, chain_head)
         VALUES ($1, 'idm/' || $2 || '/grant/1', 'idm', $2, 1, 'grant', 0, $3, $3 || ' name', 'Role', 'hb', '{\"requester\":\"hr\",\"approvers\":[{\"by\":\"ha\",\"at\":1}]}',
            'lane', 0, 1, $5, $5, $5, $4, $6, $7, $8, 'c', $1, $5, $9, $1, $5, $10, 1, 'h')",
    )
    .bind(id.0)
    .bind(format!("x-{id}"))
    .bind(row.app)
    .bind(row.state)
    .bind(row.eligible)
    .bind(row.parked.then_some(NOW.0))
    .bind(row.parked.then_some("E-REFUSED"))
    .bind(row.parked.then_some("the desk said: ask Zoe Quill"))
    .bind(row.group)
    .bind(row.closed)
    .execute(pool)
    .await
    .unwrap();
    query(
        "INSERT INTO ticket (id, key, desk, admin_group, route, state, ref_id, ref_number, url, template, template_version, catalog_version,
            words, closed_by, planned_at, filed_at)
         VALUES ($1, 'lm-' || $2, 'jira', $3, 'convention', $4, $2, 'IAM-' || $2, 'https://desk/' || $2, 'default', 'v', 'c', 'done by Zoe Quill',
            'hr', 0, $5)",
    )
    .bind(id.0)
    .bind(id.to_string())
    .bind(row.group.unwrap_or("none"))
    .bind(if row.closed.is_some() { "closed" } else { "open" })
    .bind(row.eligible)
    .execute(pool)
    .await
    .unwrap();
    query("INSERT INTO ticket_item (ticket_id, assignment_id, revision) VALUES ($1, $1, 1)")
        .bind(id.0)
        .execute(pool)
        .await
        .unwrap();
    query("INSERT INTO journal VALUES ($1, 1, $2, 'jira', $2, 'closed', 'closed', 'op Zoe Quill', 'closed: Zoe Quill', '{}', NULL, NULL, NULL, 'h')")
        .bind(id.0)
        .bind(row.eligible)
        .execute(pool)
        .await
        .unwrap();
    query(
        "INSERT INTO errand (id, kind, edge, ticket_id, state, rank, due_at, mark, failures, code, reason, made_at)
         VALUES ($1, 'create', 'desk/jira', $1, $2, 0, 0, $3, $4, 'E-BUSY', 'Zoe Quill', $5)",
    )
    .bind(id.0)
    .bind(if row.state == "unclear" {
        "unclear"
    } else if row.parked {
        "parked"
    } else {
        "ready"
    })
    .bind(id.to_string())
    .bind(i64::from(row.app == "sap"))
    .bind(row.eligible)
    .execute(pool)
    .await
    .unwrap();
    id
}

async fn filled(folder: &tempfile::TempDir) -> (Pool, Vec<Id>) {
    let pool = ground(folder).await;
    let ids = IdMaker::default();
    for (hash, name) in [("hb", "Bea Neff"), ("hr", "Rex Quest"), ("ha", "Ann Prove")] {
        query("INSERT INTO person (hash, source, name, seen_at) VALUES ($1, 'idm', $2, 0)")
            .bind(hash)
            .bind(name)
            .execute(&pool)
            .await
            .unwrap();
    }
    let row = |app, state, age_days: i64| Row {
        app,
        state,
        group: Some("ops"),
        eligible: NOW.0 - age_days * DAY,
        closed: None,
        parked: false,
    };
    let mut made = vec![put(&pool, &ids, row("sap", "open", 20)).await];
    made.push(put(&pool, &ids, row("sap", "open", 2)).await);
    made.push(put(&pool, &ids, row("crm", "open", -3)).await);
    made.push(put(&pool, &ids, Row { parked: true, ..row("crm", "unclear", 0) }).await);
    made.push(put(&pool, &ids, Row { closed: Some(NOW.0 - 1), ..row("crm", "reported", 5) }).await);
    (pool, made)
}

#[tokio::test]
async fn lists_page_by_key_filter_and_find() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, made) = filled(&folder).await;
    let all = Filter::default();
    let first = assignments(&pool, &all, true, 2).await.unwrap();
    let rest = assignments(&pool, &Filter { before: Some(first[1].id), ..all.clone() }, true, 10).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 3));
    assert!(first[1].id > rest[0].id && first[0].beneficiary.as_deref() == Some("Bea Neff"));
    let ids = |rows: Vec<AssignmentRow>| rows.into_iter().map(|r| r.id).collect::<Vec<_>>();
    for words in [made[0].to_string(), format!("x-{}", made[0]), format!("IAM-{}", made[0]), format!("lm-{}", made[0])] {
        let found = assignments(&pool, &Filter { search: Some(words), ..all.clone() }, true, 10).await.unwrap();
        assert_eq!(ids(found), vec![made[0]]);
    }
    let nothing = Filter { search: Some("no such thing".to_owned()), ..all.clone() };
    assert!(assignments(&pool, &nothing, true, 10).await.unwrap().is_empty());
    let open_sap = Filter { states: vec!["open".to_owned()], application: Some("sap".to_owned()), ..all.clone() };
    assert_eq!(ids(assignments(&pool, &open_sap, true, 10).await.unwrap()), vec![made[1], made[0]]);
    let parked = Filter { parked: Some(true), ..all.clone() };
    assert_eq!(ids(assignments(&pool, &parked, true, 10).await.unwrap()), vec![made[3]]);
}

#[tokio::test]
async fn a_scope_hides_what_is_outside_it_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, made) = filled(&folder).await;
    let scope: Scope = Some(vec!["sap".to_owned()]);
    let listed = assignments(&pool, &Filter { scope: scope.clone(), ..Filter::default() }, true, 10).await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|r| r.application_id == "sap"));
    assert!(assignment(&pool, made[2], &scope, true).await.unwrap().is_none());
    let seen = overview(&pool, &scope, NOW).await.unwrap();
    assert_eq!((seen.parked, seen.unclear, seen.open_by_application.len()), (0, 0, 1));
    assert_eq!((seen.open_by_group[0].count, seen.waiting_by_edge[0].count), (2, 2));
    let todo = operations(&pool, &scope, true, 10).await.unwrap();
    assert!(todo.parked.is_empty() && todo.parked_errands.is_empty() && todo.failing.len() == 2);
    let none: Scope = Some(Vec::new());
    assert!(assignments(&pool, &Filter { scope: none, ..Filter::default() }, true, 10).await.unwrap().is_empty());
    let filter = FactFilter { from: Timestamp(0), to: NOW, scope, ..FactFilter::default() };
    assert!(facts(&pool, &filter).await.unwrap().is_empty());
    assert_eq!(backlog(&pool, &filter, NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_names_no_person_and_no_free_text_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, made) = filled(&folder).await;
    for id in &made {
        let shown = assignment(&pool, *id, &None, false).await.unwrap().unwrap();
        let text = serde_json::to_string(&shown).unwrap();
        for secret in ["Zoe", "Bea", "Rex", "Ann"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let todo = serde_json::to_string(&operations(&pool, &None, false, 10).await.unwrap()).unwrap();
    assert!(!todo.contains("Zoe") && todo.contains("E-BUSY"), "{todo}");
    assert!(!dump(&pool).await.unwrap().contains("Bea"));
    let whole = assignment(&pool, made[3], &None, true).await.unwrap().unwrap();
    assert_eq!(
        (whole.requester.as_deref(), whole.approvers.as_slice()),
        (Some("Rex Quest"), ["Ann Prove".to_owned()].as_slice())
    );
    assert_eq!(whole.reason.as_deref(), Some("Because of Zoe Quill"));
    assert_eq!((whole.tickets.len(), whole.journal.len(), whole.errands.len()), (1, 1, 1));
}

#[tokio::test]
async fn counts_and_ages_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, _) = filled(&folder).await;
    let seen = overview(&pool, &None, NOW).await.unwrap();
    assert_eq!((seen.parked, seen.parked_errands, seen.unclear, seen.closed_24h), (1, 0, 1, 1));
    assert_eq!(seen.by_state.iter().map(|c| c.count).sum::<i64>(), 5);
    assert_eq!(seen.open_by_application[0].count + seen.open_by_application[1].count, 4);
    let sap = seen.open_by_application.iter().find(|c| c.id == "sap").unwrap();
    assert_eq!((sap.name.as_str(), sap.oldest.map(|t| t.0)), ("sap name", Some(NOW.0 - 20 * DAY)));
    let rows = backlog(&pool, &FactFilter::default(), NOW).await.unwrap();
    let (crm, sap) = (&rows[0], &rows[1]);
    assert_eq!((sap.bands, sap.not_yet, sap.oldest), ([0, 1, 0, 0, 1], 0, Some(Timestamp(NOW.0 - 20 * DAY))));
    assert_eq!((crm.bands, crm.not_yet), ([1, 0, 0, 0, 0], 1));
    let closed = facts(&pool, &FactFilter { from: Timestamp(NOW.0 - DAY), to: NOW, ..FactFilter::default() }).await.unwrap();
    assert_eq!(closed.len(), 1);
}

#[tokio::test]
async fn lists_and_searches_read_indexes_and_never_sort_what_may_be_a_million() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, made) = filled(&folder).await;
    let grouped = Filter { admin_group: Some("sap-admins".to_owned()), before: Some(made[4]), ..Filter::default() };
    let parked = Filter { parked: Some(true), ..Filter::default() };
    let queries = [
        ("an external id", lists::BY_EXTERNAL_ID.to_owned()),
        ("a ticket", lists::BY_TICKET.to_owned()),
        ("applications in a state", lists::APPLICATIONS_IN.to_owned()),
        ("one state of one application", lists::pair_query(&grouped, "open", "sap", 50).sql().to_owned()),
        ("an admin group", lists::list_query(&grouped, None, 50).sql().to_owned()),
        ("parked ones", lists::list_query(&parked, None, 50).sql().to_owned()),
    ];
    for (what, query) in queries {
        let explained = format!("EXPLAIN QUERY PLAN {query}");
        let steps: Vec<(i64, i64, i64, String)> =
            query_as(explained).bind("1").bind("1").bind("1").bind("1").bind("1").fetch_all(&pool).await.unwrap();
        for (.., step) in steps {
            let scans = step.starts_with("SCAN assignment") || step.starts_with("SCAN a") || step.starts_with("SCAN t");
            let by_order = step.contains("USING COVERING INDEX") || step.contains("USING INDEX");
            assert!(!scans || by_order, "{what}: {step}");
            assert!(what == "parked ones" || what == "a ticket" || !step.contains("TEMP B-TREE FOR ORDER BY"), "{what}: {step}");
        }
    }
}

#[tokio::test]
async fn filters_page_through_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, made) = filled(&folder).await;
    let everything = |filter: Filter| {
        let pool = pool.clone();
        async move {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let page = assignments(&pool, &Filter { before, ..filter.clone() }, false, 2).await.unwrap();
                let Some(last) = page.last() else { return seen };
                before = Some(last.id);
                seen.extend(page.iter().map(|r| r.id));
            }
        }
    };
    let newest_first: Vec<Id> = made.iter().rev().copied().collect();
    assert_eq!(everything(Filter::default()).await, newest_first);
    let both: Scope = Some(vec!["crm".to_owned(), "sap".to_owned()]);
    assert_eq!(everything(Filter { scope: both.clone(), ..Filter::default() }).await, newest_first);
    let open = everything(Filter { states: vec!["open".to_owned()], ..Filter::default() }).await;
    assert_eq!(everything(Filter { states: vec!["open".to_owned()], scope: both.clone(), ..Filter::default() }).await, open);
    assert!(open.len() >= 2 && open.windows(2).all(|w| w[0] > w[1]));
    let outside = Filter { application: Some("crm".to_owned()), scope: Some(vec!["sap".to_owned()]), ..Filter::default() };
    assert_eq!(everything(outside).await, []);
}
