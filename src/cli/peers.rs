//! `peers`: who has written.

use super::args::{Common, PeersArgs};
use super::open::open;
use super::output::{Outcome, table};
use crate::contract::{ContractError, PeersListParams, PeersListResult};
use crate::events::Events;
use crate::store::now_ms;

/// Lists them.
pub async fn run(common: &Common, args: PeersArgs) -> Result<Outcome, ContractError> {
    let sidecar = open(common, Events::none()).await?;
    let params = PeersListParams { account_id: args.account, query: args.query.clone(), limit: Some(args.limit) };
    let result = sidecar.directory.peers(params).await;
    sidecar.close().await;
    result.map(|result| list(result, args.query.as_deref()))
}

fn list(result: PeersListResult, query: Option<&str>) -> Outcome {
    if result.peers.is_empty() {
        let text = match query {
            Some(query) => format!("nobody whose id contains {query:?} has written"),
            None => "nobody has written yet".to_owned(),
        };
        return Outcome::done(text, &result);
    }
    let mut rows = vec![["PERSON", "ACCOUNT", "LAST WROTE"].map(str::to_owned).to_vec()];
    let now = now_ms();
    rows.extend(
        result
            .peers
            .iter()
            .map(|peer| vec![peer.id.clone(), peer.account_id.clone(), ago(now - peer.last_inbound_at_ms)]),
    );
    Outcome::done(table(&rows), &result)
}

fn ago(ms: i64) -> String {
    match ms.max(0) / 60_000 {
        0 => "just now".to_owned(),
        minutes @ 1..60 => format!("{minutes} min ago"),
        minutes @ 60..2_880 => format!("{} h ago", minutes / 60),
        minutes => format!("{} days ago", minutes / 1_440),
    }
}
