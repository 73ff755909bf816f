//! `/v1/secrets`: for operators alone. A value comes in here, and none goes out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::Posted;
use super::caller::OfSecret;
use super::openapi::{self, Kind, required};
use super::route::{Gives, Route, Takes};
use crate::blocking;
use crate::engine::{Engine, SecretView};
use crate::error::{Code, Result};
use crate::secrets::SecretText;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/secrets", list, "list_secrets", "Which secrets there are, and never what they are.")
            .for_all()
            .for_operators()
            .gives(200, "The secrets, by name.", Gives::Json(openapi::of::<SecretList>)),
        Route::put("/v1/secrets/{name}", put, "put_secret", "Keeps a value under a name, in the place of the one that was there.")
            .for_all()
            .for_operators()
            .takes(Takes::Json(vec![required("value", Kind::Given, "The value: text of 8 bytes to 64 KiB.")]))
            .gives(201, "It is kept.", Gives::Json(openapi::of::<SecretView>))
            .gives(200, "It is kept in the place of what had this name.", Gives::Json(openapi::of::<SecretView>))
            .fails(&[Code::InvalidRequest, Code::TooLarge, Code::SecretsLocked]),
        Route::delete("/v1/secrets/{name}", remove, "remove_secret", "Forgets a secret.")
            .for_all()
            .for_operators()
            .gives(200, "It is forgotten: this was it.", Gives::Json(openapi::of::<SecretView>))
            .fails(&[Code::InvalidRequest, Code::SecretNotFound]),
    ]
}

async fn list(State(engine): State<Engine>) -> Result<Json<SecretList>> {
    let secrets = blocking::run(move || engine.secrets()).await?;
    Ok(Json(SecretList { secrets }))
}

async fn put(State(engine): State<Engine>, OfSecret(name): OfSecret, posted: Posted) -> Result<(StatusCode, Json<SecretView>)> {
    let mut fields = posted.fields()?;
    fields.require(&["value"]);
    // Whatever stands here may be the secret, so no message repeats it.
    let value = match fields.value("value") {
        Some(Value::String(text)) => Some(SecretText::new(text.clone())),
        None => None,
        Some(_) => {
            fields.issue("value", "is not a text".to_owned());
            None
        }
    };
    fields.refuse_unknown("a secret");
    let value = fields.build(value)?;
    let (secret, new) = engine.set_secret(&name, value).await?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(secret)))
}

async fn remove(State(engine): State<Engine>, OfSecret(name): OfSecret) -> Result<Json<SecretView>> {
    engine.remove_secret(&name).await.map(Json)
}

/// The answer of `GET /v1/secrets`.
#[derive(Serialize, ToSchema)]
struct SecretList {
    /// By name.
    secrets: Vec<SecretView>,
}
