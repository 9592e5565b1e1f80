/** How many requests are made at most before an empty page is shown. */
const MAX_REQUESTS = 5;

/**
 * The first page behind `after` that has rows. One request of the server looks at a bounded number of jobs, so that a
 * page may be empty although others follow; then the next ones are asked for, a few at most.
 */
export async function filledPage<Page extends { next: string | null }>(
  ask: (after: string) => Promise<Page>,
  isEmpty: (page: Page) => boolean,
  after: string,
): Promise<Page> {
  let page = await ask(after);
  for (let requests = 1; isEmpty(page) && page.next !== null && requests < MAX_REQUESTS; requests += 1) {
    page = await ask(page.next);
  }
  return page;
}
