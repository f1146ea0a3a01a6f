//! Pages of figures: the number that matters, pictures with their tables, and a way from every number to what is behind it.

mod figures;
mod links;
mod tiles;
mod view;
mod wording;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use self::view::View;
use super::behind::rows;
use super::{render, to_value};
use crate::catalog::ClockKind;
use crate::kpi::case::Verdict;
use crate::kpi::days::DAY_MS;
use crate::kpi::export::CaseRow;
use crate::kpi::report::{Asked as KpiAsked, Report, Which, leavers_open};
use crate::ledger::rollups::CellFilter;
use crate::model::Operation;
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::Asked;
use crate::web::problem::Refused;

pub(super) use links::Links;

/// Rows of a short list.
const SHORT_LIST: usize = 20;

/// A page of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Start,
    Application,
    Group,
    Approval,
    Leavers,
    Backlog,
}

impl Page {
    const ALL: [Self; 6] = [Self::Start, Self::Application, Self::Group, Self::Approval, Self::Leavers, Self::Backlog];

    fn path(self) -> &'static str {
        match self {
            Self::Start => "/kpi",
            Self::Application => "/kpi/application",
            Self::Group => "/kpi/group",
            Self::Approval => "/kpi/approval",
            Self::Leavers => "/kpi/leavers",
            Self::Backlog => "/kpi/backlog",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Start => "Key figures",
            Self::Application => "Applications",
            Self::Group => "Admin groups",
            Self::Approval => "Approval and provisioning",
            Self::Leavers => "Leavers",
            Self::Backlog => "Backlog",
        }
    }
}

macro_rules! pages {
    ($($name:ident: $page:expr),*) => {$(
        /// A page of figures.
        ///
        /// # Errors
        /// The ledger does not answer; the filter cannot be read.
        pub(in crate::web) async fn $name(
            State(state): State<WebState>,
            reader: Reader,
            Asked(asked): Asked<KpiAsked>,
        ) -> Result<Response, Refused> {
            show($page, state, reader, asked).await
        }
    )*};
}

pages!(kpi: Page::Start, application: Page::Application, group: Page::Group, approval: Page::Approval,
    leavers: Page::Leavers, backlog: Page::Backlog);

async fn show(page: Page, state: WebState, reader: Reader, asked: KpiAsked) -> Result<Response, Refused> {
    let (setup, now) = (state.setup.load_full(), state.clock.now());
    let mut report = Report::of(&*state.ledger, &setup.catalog, &reader.scope, &asked, now).await?;
    // A time before anything came says nothing.
    let empty = report.trend.iter().take_while(|p| p.arrived + p.closed == 0).count();
    report.trend.drain(..empty);
    let view = View {
        report: &report,
        catalog: &setup.catalog,
        links: Links::of(&asked),
        business: asked.clock == Some(ClockKind::Business),
    };
    let mut data = view.frame(page);
    data["choices"] = choices(&state, &reader, &view.links).await?;
    match page {
        Page::Start => view.start(&mut data),
        Page::Application => view.part(&mut data, "application", &report.applications),
        Page::Group => view.part(&mut data, "admin_group", &report.groups),
        Page::Approval => view.approvals(&mut data),
        Page::Leavers => {
            let catalog = &setup.catalog;
            let open = leavers_open(&*state.ledger, catalog, &reader.scope, &asked, now, SHORT_LIST).await?;
            let waits = open.into_iter().map(|shown| {
                let left = shown.row.exact;
                let mut row = to_value(CaseRow::of(shown, now));
                row["since"] = json!(left);
                row["late"] = json!(now.ms_since(left) > DAY_MS);
                row
            });
            data["list"] = json!({"caption": "Still with access, longest first", "since": "Left", "rows": waits.collect::<Vec<_>>(),
                "none": "Nobody who left has access that is known here."});
            view.leavers(&mut data);
        }
        Page::Backlog => {
            let open = KpiAsked { which: Some(Which::Open), ..asked.clone() };
            let most = i64::try_from(SHORT_LIST).unwrap_or(i64::MAX);
            let waits = rows(&state, &reader, &open, most).await?.0.into_iter().map(|row| {
                let mut shown = to_value(&row);
                shown["since"] = json!(row.eligible_at);
                shown["late"] = json!(row.verdict == Some(Verdict::Overdue));
                shown
            });
            data["list"] = json!({"caption": format!("Waiting longest: the first {SHORT_LIST}"), "since": "Waits",
                "rows": waits.collect::<Vec<_>>(), "none": "Nothing is open."});
            view.backlog(&mut data);
        }
    }
    let title = data["heading"].as_str().unwrap_or(page.name()).to_owned();
    Ok(render(&state, &reader, "kpi", &title, data))
}

/// What the filter offers: everything in the reader's scope that ever had figures.
async fn choices(state: &WebState, reader: &Reader, links: &Links) -> Result<Value, Refused> {
    let dims = state.ledger.dims(&CellFilter { scope: reader.scope.clone(), ..CellFilter::default() }).await?;
    let mut offered: [BTreeMap<String, String>; 4] = Default::default();
    for dim in dims {
        let operation = Operation::parse(&dim.operation).map_or(dim.operation.clone(), |known| known.human().to_owned());
        let named = [
            (dim.application_id, dim.application_name),
            (dim.admin_group.clone(), dim.admin_group),
            (dim.operation, operation),
            (dim.desk.clone(), dim.desk),
        ];
        for (offered, (id, name)) in offered.iter_mut().zip(named).filter(|(_, (id, _))| !id.is_empty()) {
            offered.insert(id, name);
        }
    }
    let labels = ["Application", "Admin group", "Operation", "Desk"];
    let fields = links::CUTS.into_iter().zip(labels).zip(offered).map(|((field, label), mut offered)| {
        let chosen = links.cut(field);
        if !chosen.is_empty() {
            offered.entry(chosen.to_owned()).or_insert_with(|| chosen.to_owned());
        }
        let mut options: Vec<(String, String)> = offered.into_iter().collect();
        options.sort_by_key(|(_, name)| name.to_lowercase());
        let options = options.into_iter().map(|(id, name)| json!({"chosen": id == chosen, "id": id, "name": name}));
        json!({"field": field, "label": label, "options": options.collect::<Vec<_>>()})
    });
    Ok(json!(fields.collect::<Vec<_>>()))
}
