// Rows of images: leave those of a class, order them, and cover them more or less.
const form = document.forms.filter, now = form.elements
const box = document.getElementById('rows'), rows = [...box.children]
const score = (row, k) => JSON.parse(row.dataset.iou)[k] ?? NaN

function show() {
  const k = now.class.value, order = now.order ? now.order.value : 'name'
  const shown = rows.filter(r => !k || r.dataset.classes.split(' ').includes(k))
  const by = (a, b) => {
    const [x, y] = [score(a, k), score(b, k)]
    return isNaN(x) - isNaN(y) || (order == 'worst' ? x - y : y - x) || 0
  }
  const named = (a, b) => a.dataset.name < b.dataset.name ? -1 : 1
  box.replaceChildren(...shown.sort(order == 'name' ? named : by))
  now.count.value = `${shown.length} of ${rows.length} images`
}

function cover() {
  document.documentElement.style.setProperty('--strength', now.strength.value / 100)
}

form.addEventListener('change', show)
now.strength.addEventListener('input', cover)
form.addEventListener('submit', e => e.preventDefault())
form.hidden = false
show()
cover()

// Tables: a heading sorts its column, once more turns the order round.
const value = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent

function sort(table, i) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0]
  const down = heads[i].getAttribute('aria-sort') != 'descending'
  heads.forEach(h => h.removeAttribute('aria-sort'))
  heads[i].setAttribute('aria-sort', down ? 'descending' : 'ascending')
  const compare = (a, b) => {
    const [x, y] = [value(a, i), value(b, i)], [p, q] = [parseFloat(x), parseFloat(y)]
    if (isNaN(p) != isNaN(q)) return isNaN(p) - isNaN(q)
    const order = isNaN(p) ? x.localeCompare(y) : p - q
    return down ? -order : order
  }
  body.replaceChildren(...[...body.rows].sort(compare))
}

for (const table of document.querySelectorAll('table')) {
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.append(...head.childNodes)
    button.addEventListener('click', () => sort(table, i))
    head.append(button)
  })
}

// Pictures: one opens large; left and right go through its row, up and down to the same picture of another row.
const large = document.getElementById('large'), [name, caption] = large.querySelectorAll('b, span')
let open = null

function enlarge(figure) {
  open = figure
  const pics = figure.parentNode, copy = figure.cloneNode(true)
  copy.querySelectorAll('img').forEach(i => { i.loading = 'eager' })
  large.lastElementChild.style.cssText = pics.style.cssText
  large.lastElementChild.replaceChildren(copy)
  name.textContent = pics.parentNode.dataset.name
  caption.textContent = figure.querySelector('figcaption').textContent
  if (!large.open) large.showModal()
}

function step(across, down) {
  const figures = [...open.parentNode.children], shown = [...box.children]
  const row = shown[shown.indexOf(open.parentNode.parentNode) + down]
  const place = figures.indexOf(open) + across
  const next = row?.querySelectorAll('figure')[place]
  if (next) enlarge(next)
}

box.addEventListener('click', e => {
  const figure = e.target.closest('figure')
  if (figure) enlarge(figure)
})
box.addEventListener('keydown', e => {
  if (e.key == 'Enter' && e.target.matches('figure')) {
    e.preventDefault() // else the same key presses the button that gets the focus
    enlarge(e.target)
  }
})
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
large.addEventListener('keydown', e => {
  if (ARROWS[e.key]) {
    e.preventDefault()
    step(...ARROWS[e.key])
  }
})
large.querySelector('button').addEventListener('click', () => large.close())
large.addEventListener('close', () => open?.focus())
