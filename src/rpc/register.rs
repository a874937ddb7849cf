//! Methods with typed parameters on jsonrpsee's `RpcModule`.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::error_object;
use crate::contract::{ContractError, ErrorKind};

/// Registers `handler` under `name`. Parameters that do not fit are answered with `-32602`, naming the field.
pub fn register<C, P, R, F, Fut>(
    module: &mut RpcModule<C>,
    name: &'static str,
    handler: F,
) -> Result<(), RegisterMethodError>
where
    C: Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + Clone + Send + 'static,
    F: Fn(Arc<C>, P) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R, ContractError>> + Send,
{
    module.register_async_method(name, move |params, context, _| {
        let handler = handler.clone();
        async move {
            let params = parse::<P>(params.as_str()).map_err(error_object)?;
            handler(context, params).await.map_err(error_object)
        }
    })?;
    Ok(())
}

fn parse<P: DeserializeOwned>(params: Option<&str>) -> Result<P, ContractError> {
    let mut json = serde_json::Deserializer::from_str(params.unwrap_or("{}"));
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Positions mean nothing to who did not write the line by hand.
        let why = error.inner().to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        let message = if path == "." { format!("params: {why}") } else { format!("params.{path}: {why}") };
        ContractError::new(ErrorKind::InvalidParams, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ConfigSetParams, SendTextParams};

    fn message<P: DeserializeOwned>(params: &str) -> String {
        parse::<P>(Some(params)).map(|_| ()).unwrap_err().message
    }

    #[test]
    fn the_field_is_named() {
        assert!(message::<SendTextParams>(r#"{"text":"x"}"#).contains("`to`"));
        assert!(message::<SendTextParams>(r#"{"to":5,"text":"x"}"#).starts_with("params.to: "));
        let unknown = message::<ConfigSetParams>(r#"{"config":{"outbox":{"perMinit":3}}}"#);
        assert!(unknown.starts_with("params.config.outbox") && unknown.contains("perMinit"), "{unknown}");
    }
}
