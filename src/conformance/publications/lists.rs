//! Lists are in order and complete.

use super::context::{
    FAILED, PublicationContext, all_of, done, ended, replaced, same, stored, walk,
};
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;
use crate::publication::{Publication, PublicationId, PublicationStatus, PublicationsRequest};

cases! {
    publications Publications:
    "the pages of a project list each publication once, newest first", ["P-30"], paged;
    "lists have what the request admits", ["P-30"], filtered;
    "a list continues below any id", ["P-30"], anywhere;
    "what is there throughout is listed while others come and go", ["P-30"], moving;
}

fn ids(publications: &[Publication]) -> Vec<PublicationId> {
    publications.iter().map(|publication| publication.id).collect()
}

/// Creates publications in an order that is not that of their ids. Returns them newest first.
async fn several(case: &mut PublicationContext, count: usize) -> Result<Vec<Publication>, Stop> {
    let mut all = (0..count).map(|_| case.new_one()).collect::<Result<Vec<_>, _>>()?;
    case.random.shuffle(&mut all);
    for (number, new) in all.iter().enumerate() {
        stored("P-10", &*case.node(number)?, new).await?;
    }
    all.sort_unstable_by_key(|new| std::cmp::Reverse(new.id));
    Ok(all)
}

async fn paged(case: &mut PublicationContext) -> Result<(), Stop> {
    let empty = walk(&*case.node(0)?, all_of("p")).await?;
    same("P-30", "list an empty project", &empty, &Vec::new())?;
    let mut all = several(case, 40).await?;
    // Several in one millisecond.
    let time = all.first().map_or(super::context::LATER, |first| first.created_at);
    for _ in 0..20 {
        let new = case.at(time)?;
        stored("P-10", &*case.node(0)?, &new).await?;
        all.push(new);
    }
    all.sort_unstable_by_key(|new| std::cmp::Reverse(new.id));
    for limit in [0, 1, 2, 7, 59, 60, 61, 1_000, usize::MAX] {
        let found = walk(&*case.node(1)?, all_of("p").limit(limit)).await?;
        same("P-30", &format!("list in pages of {limit}"), &ids(&found), &ids(&all))?;
        same("P-30", "the publications of a list", &found, &all)?;
    }
    Ok(())
}

async fn filtered(case: &mut PublicationContext) -> Result<(), Stop> {
    let mut all = Vec::new();
    for number in 0..36_usize {
        let mut new = case.new_one()?;
        new.details.collection = match number % 3 {
            0 => None,
            1 => Some("a".into()),
            _ => Some("b".into()),
        };
        new.details.tags = if number % 4 == 0 { vec!["x".into(), "a".into()] } else { Vec::new() };
        stored("P-10", &*case.node(number)?, &new).await?;
        match number % 5 {
            0 => {}
            1 => new = ended(&new, FAILED),
            _ => new = ended(&new, PublicationStatus::Completed),
        }
        if new.revision == 2 {
            replaced(&*case.node(number + 1)?, &new).await?;
        }
        all.push(new);
    }
    all.reverse();
    let plain = PublicationsRequest::new("p");
    for request in [plain, plain.collection("a"), plain.tagged("a"), plain.collection("none")] {
        for request in [request, request.completed(false), request.collection("b").tagged("x")] {
            for limit in [1, 3, 100] {
                let expected: Vec<_> =
                    all.iter().filter(|it| request.admits(it)).cloned().collect();
                let found = walk(&*case.node(0)?, request.limit(limit)).await?;
                same("P-30", &format!("list {request:?}"), &ids(&found), &ids(&expected))?;
                same("P-30", &format!("list {request:?}"), &found, &expected)?;
            }
        }
    }
    Ok(())
}

async fn anywhere(case: &mut PublicationContext) -> Result<(), Stop> {
    let all = several(case, 12).await?;
    let mut places = ids(&all);
    places.extend([PublicationId::from_bytes([0; 16]), PublicationId::from_bytes([0xff; 16])]);
    for id in ids(&all) {
        // What is beside an id, also what is not the id of a publication.
        for (at, change) in [(15, 1), (5, 1), (6, 0x80), (6, 0x70), (8, 0x40), (8, 0x80)] {
            let mut bytes = *id.as_bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= change;
            }
            places.push(PublicationId::from_bytes(bytes));
        }
    }
    for after in places {
        let expected: Vec<_> = ids(&all).into_iter().filter(|id| *id < after).collect();
        for limit in [1, 100] {
            let request = all_of("p").after(after).limit(limit);
            let found = walk(&*case.node(1)?, request).await?;
            same("P-30", &format!("list below {after}"), &ids(&found), &expected)?;
        }
    }
    Ok(())
}

async fn moving(case: &mut PublicationContext) -> Result<(), Stop> {
    let all = several(case, 24).await?;
    let stays = |number: usize| number.is_multiple_of(2);
    let fixed: Vec<_> =
        all.iter().enumerate().filter(|(n, _)| stays(*n)).map(|(_, it)| it.id).collect();
    let mut others: Vec<_> =
        all.iter().enumerate().filter(|(n, _)| !stays(*n)).map(|(_, it)| it.clone()).collect();
    let (mut found, mut request) = (Vec::new(), all_of("p").limit(3));
    loop {
        let page = done("P-30", "list publications", case.node(0)?.list(request).await)?;
        found.extend(ids(&page.items));
        let Some(next) = page.next else { break };
        let onwards = request.after.is_none_or(|after| next < after);
        same("P-30", "`next` is below the page", &onwards, &true)?;
        request = request.after(next);
        // From the end, and from what the page ended with.
        if !others.is_empty() {
            let gone = others.remove(0);
            done("P-50", "delete a publication", case.node(1)?.delete("p", gone.id).await)?;
        }
        if let Some(gone) = others.pop() {
            done("P-50", "delete a publication", case.node(1)?.delete("p", gone.id).await)?;
        }
        let new = case.new_one()?;
        stored("P-10", &*case.node(2)?, &new).await?;
    }
    let in_order = found.is_sorted_by(|a, b| a > b);
    same("P-30", "the order of a list that changes", &in_order, &true)?;
    found.retain(|id| fixed.contains(id));
    same("P-30", "what stays, in a list that changes", &found, &fixed)
}
